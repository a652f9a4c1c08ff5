# gpuward's image: an interpreter, the pinned dependencies, gpuward. Nothing in it needs a shell or a package manager.
#
#   docker build --tag registry.example.com/gpuward:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 --tag ... --push .
#
# BASE has python3, 3.11 or later, and its venv module. RUNTIME has the same Python and may lack all else, such as
# gcr.io/distroless/python3-debian12:nonroot with BASE=docker.io/library/python:3.11-slim-bookworm. For images that
# can be made again, name both by digest.
ARG BASE=docker.io/library/python:3.13-slim-bookworm
ARG RUNTIME=${BASE}

# hadolint ignore=DL3006
FROM ${BASE} AS build
# Of all files, in seconds since 1970: with equal sources and pins the image is the same, whenever it is built.
ARG SOURCE_DATE_EPOCH=1577836800
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    PYTHONHASHSEED=0 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
# Wheels alone, each by its hash: nothing is compiled here, and nothing comes that was not pinned.
RUN python3 -m venv /build \
    && /build/bin/pip install --quiet --require-hashes --only-binary :all: --requirement requirements/build.txt \
    && /build/bin/pip install --quiet --require-hashes --only-binary :all: --target /app \
        --requirement requirements/runtime.txt
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY webhook webhook
COPY certs certs
COPY policies policies
# Compiled beforehand, as the file system is read-only later. By hash: the time of a file says nothing about it.
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
    && /build/bin/pip install --quiet --no-deps --no-index --target /app /dist/gpuward-*.whl \
    && rm -rf /app/bin /app/gpuward-*.dist-info/direct_url.json \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /app \
    && chmod -R u=rwX,go=rX /app \
    && find /app -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

# hadolint ignore=DL3006
FROM ${RUNTIME}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="gpuward" \
    org.opencontainers.image.description="Admission webhook and policy enforcement for Kubernetes clusters that run AI and ML on accelerators" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
ENV PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1
COPY --from=build /app /app
# Any user will do; by number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8443 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["python3", "-m", "webhook"]
CMD ["serve"]
