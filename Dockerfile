# The operator's image. `make image` builds it with docker, podman or buildah, whichever there is.
#
# BASE is what it runs on: anything with python3 (3.11 or newer) and libstdc++; it needs no shell, and gets none.
# BUILDER is what it is made on: the same Python at the same path, with venv and pip.
# PIP_* are pip's own settings, for those whose packages come from an index of their own.
ARG BASE=python:3.13-slim-bookworm
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_CERT
ARG PIP_DEFAULT_TIMEOUT=60
COPY requirements/runtime.txt /build/runtime.txt
# pip stays in an environment of its own, and out of the image.
RUN ["python3", "-m", "venv", "/build/tools"]
RUN ["python3", "-m", "venv", "--without-pip", "/opt/tasksession"]
RUN ["/build/tools/bin/python", "-m", "pip", "--disable-pip-version-check", "--python", "/opt/tasksession/bin/python", \
     "install", "--quiet", "--no-cache-dir", "--no-compile", "--require-hashes", "--no-deps", "--only-binary", ":all:", \
     "-r", "/build/runtime.txt"]
# A read-only root file system cannot keep what Python compiles: all is compiled here. What changes most comes last.
COPY image/compile.py /build/compile.py
RUN ["/opt/tasksession/bin/python", "/build/compile.py", "packages"]
COPY image/tasksession-operator LICENSE /opt/operator/
COPY operator/tasksession /opt/operator/tasksession
RUN ["/opt/tasksession/bin/python", "/build/compile.py", "source"]

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="tasksession-operator" \
      org.opencontainers.image.description="Session-scoped privilege for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# Two layers: a new version of the operator shares the large one, its packages, with the version before.
COPY --from=build /opt/tasksession /opt/tasksession
COPY --from=build /opt/operator /opt/operator
ENV PATH=/opt/operator:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/operator \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that a kubelet can see that it is not root.
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["tasksession-operator"]
CMD ["run"]
