"""The HTTP API and the page: one more face of the pipeline, for programs and for people with a browser.

``settings.py`` holds what an operator decides, ``fields.py`` the table of what a client may ask for. One process speaks
HTTP (``app.py``) and holds the queue (``desk.py``); others do the work (``crew.py``, ``work.py``), so that a picture
that breaks a decoder, or takes too long, ends a process that nobody misses. ``page/`` is the page: plain files.
"""
