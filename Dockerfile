# syntax=docker/dockerfile:1
# Build:  docker build -t scanner .
# Scan:   docker run --rm --read-only --tmpfs /tmp -v scanner:/var/lib/scanner scanner scan REF
# Serve:  deploy/compose.yaml, with a registry beside it
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/scanner
COPY requirements.lock /src/
RUN /opt/scanner/bin/pip install --require-hashes --no-deps --only-binary=:all: -r /src/requirements.lock
# The package itself is pure Python: its files are all there is to install.
COPY scanner /src/scanner
COPY db/migrations /src/scanner/_migrations
COPY scripts/entrypoint /opt/scanner/bin/scanner
RUN cp -a /src/scanner "$(/opt/scanner/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/" \
 && /opt/scanner/bin/python -m compileall -q /opt/scanner/lib \
 && /opt/scanner/bin/pip uninstall --yes --quiet pip

FROM python:${PYTHON}
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends libmagic1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/scanner --create-home scanner
COPY --from=build /opt/scanner /opt/scanner
ENV PATH=/opt/scanner/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SCANNER_SERVER_LISTEN=0.0.0.0:8080 \
    XDG_CACHE_HOME=/var/lib/scanner/cache \
    XDG_DATA_HOME=/var/lib
# The root file system may be read-only: everything that is kept lives here.
VOLUME /var/lib/scanner
USER 10001
EXPOSE 8080
# For `serve`; a command that ends sooner is never asked.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["scanner", "health"]
ENTRYPOINT ["scanner"]
