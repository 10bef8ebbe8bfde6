#!/bin/sh
# Checks what pip cannot install. Where something is missing: installs the packages of system.txt
# when this is root on Debian or Ubuntu, else says what to install. Usage: system.sh PYTHON [test]
# With "test" the same for what the tests need besides (system-test.txt).
set -eu
python=${1:-python3}
what=${2:-}

missing() {
    if [ "$what" = test ]; then
        command -v chromium >/dev/null 2>&1 || echo "the browser Chromium (chromium)"
        return
    fi
    command -v c++ >/dev/null 2>&1 || echo "a C++ compiler (c++)"
    "$python" - <<'PY'
import ctypes, importlib.util, os, sysconfig

for library in ("libEGL.so.1", "libGL.so.1", "libOpenGL.so.0"):
    try:
        ctypes.CDLL(library)
    except OSError:
        print(library)
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print("Python's headers (Python.h)")
if importlib.util.find_spec("ensurepip") is None:
    print("Python's module ensurepip (for virtual environments)")
PY
}

list() { missing | paste -s -d, - | sed 's/,/, /g'; }

found=$(list)
[ -z "$found" ] && exit 0
packages=$(sed 's/#.*//' "$(dirname "$0")/system${what:+-$what}.txt" | xargs)
echo "missing on this machine: $found" >&2
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "install it first, on Debian and Ubuntu with: sudo apt-get install $packages" >&2
    exit 2
fi
echo "installing: $packages" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -q && apt-get install -q -y --no-install-recommends $packages
found=$(list)
[ -z "$found" ] || { echo "still missing: $found" >&2; exit 2; }
