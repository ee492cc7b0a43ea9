# rlfn serve: the page and the HTTP API, for a CPU. Build it in the checkout:
#   docker build -t rlfn .
#   docker run --rm -p 8000:8000 --read-only --tmpfs /tmp --memory 4g -e RLFN_API_KEY=... rlfn
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY examples/astronaut.png examples/
COPY src src
ARG EXTRAS=serve,openvino,jxl,heic
RUN python -m venv /opt/rlfn && /opt/rlfn/bin/pip install --no-cache-dir ".[$EXTRAS]"

FROM python:3.13-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --uid 10001 rlfn
COPY --from=build /opt/rlfn /opt/rlfn
USER rlfn
WORKDIR /tmp
ENV PATH=/opt/rlfn/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["rlfn", "serve", "--host", "0.0.0.0", "--port", "8000"]
