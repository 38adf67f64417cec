# syntax=docker/dockerfile:1
# The images of Ace-Sniper: one target per part. `docker build --target operator .`, or `make image`.
#
# Layers are shared, so that a node that probes and runs keeps them once:
#   base <- serving <- extender
#                   <- graphs <- runner, probe, operator
# Packages come from the locked lists with hashes; pip is only ever mounted from the stage `tools`,
# so that no image carries it. The application lies in the last, small layer.

# Each target ends by importing its program: what was taken out as superfluous was.
#
# LISTS and SOURCE may be any text that changes with the locked lists and with the sources. Builders
# that do not look at what is mounted (buildah) need them to know a stale layer; Docker does not.

# BASE has Python 3.11 or newer, with its whole standard library, and the CA certificates.
# TOOLS has venv and pip beside; the public base has both.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
ARG TOOLS=${BASE}

FROM ${TOOLS} AS tools
# The certificates of the system: a builder behind a proxy adds its own there, not to pip's bundle.
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
LABEL org.opencontainers.image.description="Places AI inference on heterogeneous edge clusters by predicted latency" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing is written at run time but under /tmp, which is a volume; the byte code is there already.
ENV PATH=/opt/acesniper/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp

# What serves predictions: numpy and onnxruntime.
FROM base AS serving
ARG LISTS
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,source=requirements,target=/requirements \
    /opt/tools/bin/install-packages -r /requirements/serving.txt

# What reads graphs as well.
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
# kopf names itself after the user, and the number has no name.
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
RUN python3 -c "import acesniper.probe.__main__, acesniper.probe.platform_probe, acesniper.probe.profiles"
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
