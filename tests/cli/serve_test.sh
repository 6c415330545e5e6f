#!/usr/bin/env bash
# `occ serve`: every endpoint, streams, errors, full queues, clients that leave, signals and the key, by a client of Python's own library.
. "$(dirname "$0")/lib.sh"
"$OCC" serve --help >/dev/null 2>&1 || skip "built without the server"
[ -d "$DATA/models/stories260k" ] || skip "test data not found: $DATA"
[ -n "${OCC_PYTHON:-}" ] || skip "no Python"
exec "$OCC_PYTHON" "$SOURCE/tests/cli/serve_client.py" "$OCC" "$DATA/models/stories260k" "$SOURCE" "$WORK"
