#!/usr/bin/env bash
# Gradescope runs this once, when the image is built.
set -euo pipefail
root="${AUTOGRADER:-/autograder}"
command -v python3 >/dev/null || { apt-get update && apt-get install -y python3 python3-venv; }
python3 -m venv "$root/venv" || { apt-get update && apt-get install -y python3-venv && python3 -m venv "$root/venv"; }
"$root/venv/bin/pip" install --quiet --extra-index-url https://download.pytorch.org/whl/cpu -r "$root/source/requirements.txt"
