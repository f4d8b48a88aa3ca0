#!/usr/bin/env bash
# After pip or uv failed: say in one line what set-up most likely lacked.
free=$(df -Pm . | awk 'NR == 2 { print $4 }')
if [ "$free" -lt 1000 ]; then
    echo "error: set-up: $free MB are free in $PWD; it takes 1.8 GB, make room" >&2
elif ! command -v "${CC:-cc}" >/dev/null; then
    echo "error: set-up: no C compiler, which a part of gptqmodel needs; install gcc, or set CC" >&2
else
    echo "error: set-up: what pip says above; without a network: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER_OF_WHEELS" \
        "make setup INSTALLER=pip" >&2
fi
exit 1
