#!/usr/bin/env bash
# The arrows of the house (ARCHITECTURE.md): which crate may use which. A drawn arrow that is missing here is a
# failure, and so is a gate that cannot fail: each kind of gate is first shown a case that it must see.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0

# used ARGUMENTS: the names of the packages in that tree of what is shipped.
used() { cargo tree --locked --quiet --edges normal --prefix none "$@" | awk '{print $1}' | sort -u; }
# depends A B: A uses B, directly or not.
depends() { grep -qx "$2" <<<"$(used --package "$1")"; }
depends_directly() { grep -qx "$2" <<<"$(used --package "$1" --depth 1)"; }

must() { "$@" || { echo "layers: the gate is blind, it does not see: $*" >&2; failed=1; }; }
must_not() { if "$@"; then echo "layers: forbidden: $*" >&2; failed=1; fi; }

# What each of our crates may use of ours.
declare -A allowed=(
  [kos-model]=""
  [kos-boot]=""
  [kos-webhooks]="kos-model"
  [kos-reports]="kos-model"
  [kos-search]="kos-model"
  [kos-graph]="kos-model"
  [kos-embeddings]=""
  [kos-embedding-queue]="kos-embeddings kos-repository"
  [kos-repository]="kos-model kos-search kos-graph"
  [kos-delivery]="kos-model kos-webhooks kos-repository"
  [kos-http-api]="kos-model kos-embeddings kos-webhooks kos-reports kos-search kos-graph kos-repository kos-delivery"
  [kos-assembly]="kos-embeddings kos-webhooks kos-repository kos-delivery kos-boot"
)
for crate in "${!allowed[@]}"; do
  others=$(used --package "$crate" --depth 1 | grep '^kos-' | grep -vx "$crate")
  [ -n "${allowed[$crate]}" ] && [ -z "$others" ] && { echo "layers: the gate is blind, it sees no arrow of $crate" >&2; failed=1; }
  for other in $others; do
    case " ${allowed[$crate]} " in *" $other "*) ;; *) echo "layers: forbidden: $crate -> $other" >&2; failed=1 ;; esac
  done
done

# What they may use of others', each gate with a control.
must depends kos-repository diesel
must depends kos-repository tokio
must depends kos-webhooks reqwest
must depends kos-embeddings reqwest
must depends kos-http-api actix-web
for heavy in tokio reqwest diesel actix-web; do must_not depends kos-model "$heavy"; done
for pure in kos-webhooks kos-reports kos-search kos-graph kos-embeddings; do
  for heavy in diesel actix-web; do must_not depends "$pure" "$heavy"; done
done
for heavy in actix-web reqwest; do must_not depends kos-repository "$heavy"; done
must depends_directly kos-webhooks reqwest
must_not depends_directly kos-http-api reqwest
must_not depends kos-embedding-queue actix-web
must_not depends_directly kos-http-api diesel

# What the examples build: neither a database nor a web server of ours.
example() { grep -qx "$1" <<<"$(used --package kos-examples --edges normal,dev,build)"; }
must example reqwest
for heavy in diesel actix-web; do must_not example "$heavy"; done

# What must be nowhere, and what the user fixed must be there.
for crate in api-server reporter; do
  for banned in openssl-sys aws-lc-sys pq-sys; do must_not depends "$crate" "$banned"; done
done
for fixed in tokio actix-web diesel diesel-async reqwest serde thiserror clap tracing-subscriber; do must depends api-server "$fixed"; done
must depends reporter cron

# Test support is for tests.
for crate in api-server reporter kos-http-api kos-delivery; do must_not depends "$crate" kos-test-support; done

[ "$failed" = 0 ] && echo "layers: every arrow is drawn"
exit "$failed"
