# syntax=docker/dockerfile:1
# The Ace-Sniper images, one target per component: `docker build --target operator .`, or `make image`.
#
# The images share layers, which a node stores once:
#   base <- serving <- extender
#                   <- graphs <- runner, probe, operator
# Packages are installed from locked requirements with hashes. pip is bind-mounted from the stage
# `tools` and is in no image. The application is the last and smallest layer.
#
# Each target ends with an import of its program, which fails if a required file was removed.
#
# LISTS and SOURCE invalidate cached layers: pass any text that changes with the locked requirements and
# with the sources. Needed by buildah, which ignores bind mounts in its cache key; Docker does not.
#
# BASE: Python 3.11 or newer with the complete standard library, and CA certificates.
# For a release, name it by its digest: NAME@sha256:DIGEST (SECURITY.md).
# TOOLS: the same with venv and pip; the public base image has both.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
ARG TOOLS=${BASE}

FROM ${TOOLS} AS tools
# Use the system's CA certificates, to which a builder behind a proxy adds its own.
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/tools
COPY requirements/build.txt /src/requirements/
RUN /opt/tools/bin/pip install --quiet --require-hashes -r /src/requirements/build.txt
COPY pyproject.toml README.md LICENSE /src/
COPY core /src/core
COPY operator /src/operator
COPY extender /src/extender
COPY predictor /src/predictor
COPY probe /src/probe
COPY simulator /src/simulator
COPY cli /src/cli
RUN cd /src && /opt/tools/bin/hatchling build -t wheel -d /dist
COPY docker/install /opt/tools/bin/install-packages

FROM ${BASE} AS base
ARG BASE
LABEL org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.description="Places AI inference on heterogeneous edge clusters by predicted latency" \
      org.opencontainers.image.licenses="Apache-2.0"
# The file system is read-only except /tmp, a volume; byte code is compiled at build time.
ENV PATH=/opt/acesniper/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp

# Packages that serve predictions: numpy and onnxruntime.
FROM base AS serving
ARG LISTS
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,source=requirements,target=/requirements \
    /opt/tools/bin/install-packages -r /requirements/serving.txt

# Adds the packages that read graphs: onnx.
FROM serving AS graphs
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,source=requirements,target=/requirements \
    /opt/tools/bin/install-packages -r /requirements/runner.txt

FROM serving AS extender
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,source=requirements,target=/requirements \
    /opt/tools/bin/install-packages -r /requirements/extender.txt
ARG SOURCE
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/dist,target=/dist \
    /opt/tools/bin/install-packages --no-deps /dist/*.whl
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Ace-Sniper extender" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
RUN python3 -c "import acesniper.extender.__main__"
ENTRYPOINT ["python3", "-m", "acesniper.extender"]

FROM graphs AS operator
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,source=requirements,target=/requirements \
    /opt/tools/bin/install-packages -r /requirements/operator.txt
ARG SOURCE
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/dist,target=/dist \
    /opt/tools/bin/install-packages --no-deps /dist/*.whl
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Ace-Sniper operator" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# kopf derives its identity from the user name; the numeric user has none.
ENV LOGNAME=acesniper
USER 65532:65532
RUN python3 -c "import acesniper.operator.__main__"
ENTRYPOINT ["python3", "-m", "acesniper.operator"]

FROM graphs AS probe
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,source=requirements,target=/requirements \
    /opt/tools/bin/install-packages -r /requirements/probe.txt
ARG SOURCE
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/dist,target=/dist \
    /opt/tools/bin/install-packages --no-deps /dist/*.whl
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Ace-Sniper probe" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
RUN python3 -c "import acesniper.probe.__main__, acesniper.probe.platform_probe, acesniper.probe.profiles, acesniper.runtime.client"
ENTRYPOINT ["python3", "-m", "acesniper.probe"]

FROM graphs AS runner
ARG SOURCE
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/dist,target=/dist \
    /opt/tools/bin/install-packages --no-deps /dist/*.whl
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Ace-Sniper runner" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
RUN python3 -c "import acesniper.cli.run, acesniper.probe.runner, acesniper.probe.runtimes.ort, acesniper.probe.source"
ENTRYPOINT ["acesniper"]
