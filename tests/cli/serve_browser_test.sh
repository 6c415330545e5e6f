#!/usr/bin/env bash
# The page of `occ serve` in a browser, with a real model: it asks, streams, stops, starts anew, and follows the dark scheme.
. "$(dirname "$0")/lib.sh"
"$OCC" serve --help >/dev/null 2>&1 || skip "built without the server"
[ -d "$DATA/models/stories260k" ] || skip "test data not found: $DATA"
[ -n "${OCC_PYTHON:-}" ] || skip "no Python"
BROWSER=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$BROWSER" ] || skip "no chromium"
exec "$OCC_PYTHON" "$SOURCE/tests/cli/serve_browser.py" "$OCC" "$DATA/models/stories260k" "$WORK" "$BROWSER"
