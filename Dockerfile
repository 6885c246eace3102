# A worker, or one run: docker run -v "$PWD:/work" assay curate nightly.toml
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/assay
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY face face
COPY examples examples
COPY storage storage
COPY index index
COPY selection selection
COPY flows flows
RUN /opt/assay/bin/python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[s3]"

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 assay
COPY --from=build /opt/assay /opt/assay
COPY --chmod=755 deploy/entry.sh /usr/local/bin/assay-entry
ENV PATH=/opt/assay/bin:$PATH DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false
USER assay
WORKDIR /work
ENTRYPOINT ["assay-entry"]
CMD ["--help"]
