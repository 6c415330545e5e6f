#!/usr/bin/env bash
# Pages in a browser: no message on the console, no request (the policy that is put into them makes a message of any), another picture in the dark scheme.
. "$(dirname "$0")/lib.sh"
BROWSER=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$BROWSER" ] || skip "no chromium"
make_fvecs x.fvecs 400 32
expect 0 "$OCC" compress x.fvecs -o x.occ --bits 3 --report compress.html
expect 0 "$OCC" compare x.fvecs x.occ --cosines --report compare.html
expect 0 "$OCC" analyze x.fvecs --report analyze.html
expect 0 "$OCC" sweep x.fvecs --methods rtn,trellis --bits 2,3 -o s

# look PAGE PICTURE SCHEME: 0 is dark.
look() {
  sed "s#<head>#<head><meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\"/>#" "$1" >page.html
  timeout 60 "$BROWSER" --headless --no-sandbox --disable-gpu --enable-logging=stderr --user-data-dir="$WORK/profile" \
    --blink-settings=preferredColorScheme="$3" --window-size=390,844 \
    --screenshot="$WORK/$2" "file://$WORK/page.html" >browser 2>&1 && [ -s "$2" ]
}
look compress.html light.png 1 || skip "$BROWSER does not run here"
sed 's#</body>#<img src="https://localhost/x.png"/></body>#' compress.html >bad.html
look bad.html dark.png 0 && grep -q 'CONSOLE' browser || fail "a request is not noticed"
for page in compress.html compare.html analyze.html s/index.html; do
  look "$page" dark.png 0 || fail "$page: no picture"
  ! grep 'CONSOLE' browser || fail "$page: messages on the console"
done
look compress.html dark.png 0
! cmp -s light.png dark.png || fail "the dark scheme looks like the light one"
