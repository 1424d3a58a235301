FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_PYTHON=/opt/telemetry/bin/python
WORKDIR /source
COPY requirements-image.txt ./
RUN python -m venv --without-pip /opt/telemetry \
    && pip install --require-hashes --requirement=requirements-image.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY flask_powerauth_telemetry flask_powerauth_telemetry
# Nothing is fetched here. The lock has the extras too, by IMAGE_EXTRAS of release/lock.py.
RUN pip install --no-index --no-build-isolation . \
    && pip uninstall --yes setuptools

FROM python:3.13-slim
COPY --from=build /opt/telemetry /opt/telemetry
WORKDIR /srv/telemetry
COPY example_app example_app
ENV PATH=/opt/telemetry/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FLASK_APP=example_app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["gunicorn", "--workers=2", "--threads=8", "--timeout=60", "--graceful-timeout=30", "--no-control-socket", "--worker-tmp-dir=/dev/shm", "--bind=0.0.0.0:8000", "example_app:create_app()"]
