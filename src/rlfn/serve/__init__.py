"""The HTTP API and the web page: one more face of the pipeline.

``settings.py`` holds the operator's settings, ``fields.py`` the table of request fields. One process serves HTTP
(``app.py``) and holds the queue (``job_queue.py``); worker processes enlarge the pictures (``workers.py``,
``work.py``), so that a picture that crashes a decoder or takes too long costs only a worker. ``page/`` has the page's
static files.
"""
