#!/bin/sh
# What the container does: `worker [POOL]` works for a Prefect server, `deploy` registers prefect.yaml,
# anything else is a command of assay.
set -eu

case "${1:-}" in
  worker)
    : "${PREFECT_API_URL:?set PREFECT_API_URL to the address of the Prefect server}"
    exec prefect worker start --type process --pool "${2:-assay}"
    ;;
  deploy)
    : "${PREFECT_API_URL:?set PREFECT_API_URL to the address of the Prefect server}"
    prefect work-pool create "${2:-assay}" --type process --overwrite
    exec prefect --no-prompt deploy --all
    ;;
  *)
    exec assay "$@"
    ;;
esac
