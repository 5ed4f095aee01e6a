# The other tools of scripts/bench, each from its registry into a private folder. To be sourced after lib.sh.
# shellcheck shell=bash

# One version each, so that two runs compare the same things.
DBMATE=2.36.0
ALEMBIC=(alembic==1.20.1 psycopg2-binary==2.9.13)
DJANGO=(django-tenants==4.0.1 psycopg2-binary==2.9.13)

PEERS=() # arguments for the bench: which tools there are, and why others are left out

# peers_cache: the folder that keeps what was fetched, beside the servers'.
peers_cache() { echo "$(dirname "$(postgres_cache)")/bench-peers"; }

# find_peers fetch|cached: sets PEERS. A tool that cannot be had is left out with a word.
find_peers() {
    mkdir -p "$(peers_cache)"
    peer_refinery
    peer "$1" "dbmate $DBMATE" --dbmate "dbmate-$DBMATE" bin/dbmate fetch_dbmate "$DBMATE"
    peer "$1" "${ALEMBIC[*]}" --alembic-python "${ALEMBIC[0]/==/-}" bin/python fetch_python "${ALEMBIC[@]}"
    peer "$1" "${DJANGO[*]}" --django-python "${DJANGO[0]/==/-}" bin/python fetch_python "${DJANGO[@]}"
}

# peer fetch|cached WORDS OPTION FOLDER PROGRAM COMMAND…: COMMAND… FOLDER fetches it where it is not there.
peer() {
    local how=$1 words=$2 option=$3 folder program
    folder="$(peers_cache)/$4"
    program="$folder/$5"
    shift 5
    if [ ! -x "$program" ] && [ "$how" = fetch ]; then
        say "fetching $words …"
        # a command of its own, so that a failure in it ends it and not the bench
        bash -c 'source "$0" && source "$1" && shift && "$@"' \
            "$REPO/scripts/lib.sh" "$REPO/scripts/bench.d/peers.sh" "$@" "$folder" </dev/null >&2 || true
    fi
    if [ -x "$program" ]; then
        PEERS+=("$option" "$program")
    elif [ "$how" = fetch ]; then
        PEERS+=(--left-out "$words: could not be fetched, see above")
    else
        PEERS+=(--left-out "$words: not fetched in this form of the bench")
    fi
}

# fetch_dbmate VERSION FOLDER: a binary in an npm package, which npm compares with the registry's checksum.
fetch_dbmate() (
    [ "$(uname -sm)" = "Linux x86_64" ] || die "known for Linux on x86_64 only"
    command -v npm >/dev/null || die "npm is missing"
    staged=$(mktemp -d "$2.XXXXXXXX")
    trap 'rm -rf "$staged"' EXIT
    npm pack --loglevel error --cache "$staged/npm" --pack-destination "$staged" "@dbmate/linux-x64@$1" >/dev/null
    tar -xzf "$staged"/*.tgz -C "$staged" --no-same-owner
    chmod +x "$staged/package/bin/dbmate"
    mv -T "$staged/package" "$2"
)

# fetch_python PACKAGE… FOLDER: a virtual environment, which cannot be moved: it is made anew until it is whole.
fetch_python() {
    local folder="${*: -1}"
    command -v python3 >/dev/null || die "python3 is missing"
    rm -rf "$folder"
    python3 -m venv "$folder" || { rm -rf "$folder" && die "python3 -m venv failed (Debian: package python3-venv)"; }
    "$folder/bin/pip" install --quiet --disable-pip-version-check "${@:1:$#-1}" || { rm -rf "$folder" && die "pip failed"; }
}

# peer_refinery: the stock build of tests/stock_refinery, with the versions of a stock build.
peer_refinery() {
    local folder="${CARGO_TARGET_DIR:-$REPO/target}/stock_refinery"
    if cargo build --release --quiet --locked --manifest-path "$REPO/tests/stock_refinery/Cargo.toml" \
        --target-dir "$folder" </dev/null >&2; then
        PEERS+=(--stock-refinery "$folder/release/stock-refinery")
    else
        PEERS+=(--left-out "refinery: could not be built, see above")
    fi
}
