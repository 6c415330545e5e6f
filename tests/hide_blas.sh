# hide_blas FOLDER: from now on CMake sees a machine without OpenBLAS and LAPACKE (a pkg-config in FOLDER denies them).
hide_blas() {
  mkdir "$1"
  cat >"$1/pkg-config" <<SH
#!/bin/sh
case "\$*" in *openblas* | *lapacke*) exit 1 ;; esac
exec "$(command -v pkg-config)" "\$@"
SH
  chmod +x "$1/pkg-config"
  export PKG_CONFIG="$1/pkg-config"
}
