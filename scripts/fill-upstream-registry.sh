#!/usr/bin/env bash
# Builds the images of the control plane and of the example and pushes them to the local registry, whose data is in folder $1.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

(($# == 1)) || die "usage: fill-upstream-registry.sh DATA-FOLDER"
recipes="$repository/images/kubernetes/images"
hello_recipe="$repository/examples/hello/image"

# What the images are made of; the stamp in the data folder says that all of it has been pushed.
recipe_sum="$({
    echo "$kubernetes_version $etcd_version $pause_version"
    cat "${BASH_SOURCE[0]}"
    find "$recipes" "$hello_recipe" -type f -print0 | sort -z | xargs -0 cat
} | sha256sum | cut -c1-12)"
stamp="$1/filled-$recipe_sum"
[[ ! -e "$stamp" ]] || exit 0

"$repository/scripts/build-kubernetes.sh"
export DOCKER_BUILDKIT=0
timeout 30 docker version >/dev/null 2>&1 || eval "$("$repository/scripts/start-docker.sh")"
new_work_folder

# push NAME RECIPE: builds the image from RECIPE's Dockerfile and the files in the work folder's NAME, and pushes it.
push() {
    local context="$work_folder/context" log="$work_folder/log"
    cp -r "$2/." "$context/"
    timeout 300 docker build -q -t "$upstream_registry/$1" "$context" >"$log" 2>&1 || {
        cat "$log" >&2
        die "docker build of $1 failed"
    }
    timeout 300 docker push -q "$upstream_registry/$1" >"$log" 2>&1 || {
        cat "$log" >&2
        die "docker push of $1 to $upstream_registry failed"
    }
    timeout 60 docker image rm "$upstream_registry/$1" >/dev/null
    rm -rf "$context"
    say "pushed $1"
}

# take FOLDER PATTERN…: copies files of an unpacked package to the same place in the image's rootfs, with what links to them.
take() {
    local folder="$1" pattern
    shift
    for pattern in "$@"; do
        (cd "$folder" && find . -path "./$pattern" \( -type f -o -type l \) -print0) |
            tar -C "$folder" --null -T - -cf - | tar -xf - -C "$work_folder/context/rootfs"
    done
}

new_context() { mkdir -p "$work_folder/context/rootfs"; }

for component in kube-apiserver kube-controller-manager kube-scheduler; do
    new_context
    cp "$kubernetes_binaries/$component" "$work_folder/context/"
    push "k8s.gcr.io/$component:v$kubernetes_version" "$recipes/$component"
done

library=usr/lib/x86_64-linux-gnu
c_library="$("$repository/scripts/unpack-packages.sh" c-library libc6)"
# Debian's own folders /lib and /lib64 are links into /usr; a package unpacked by itself has them as folders.
take_c_library() {
    take "$c_library" 'lib64/ld-linux-x86-64.so.2' 'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2' \
        'lib/x86_64-linux-gnu/libc.so.6' 'lib/x86_64-linux-gnu/libm.so.6' 'lib/x86_64-linux-gnu/libdl.so.2' \
        'lib/x86_64-linux-gnu/libpthread.so.0'
}

new_context
etcd_folder="$("$repository/scripts/unpack-packages.sh" etcd etcd-server etcd-client)"
# Not by grep -q, which may end before etcd has said all: that would count as etcd's failure.
[[ "$("$etcd_folder/usr/bin/etcd" --version)" == "etcd Version: $etcd_version"$'\n'* ]] ||
    die "Debian's etcd is not $etcd_version any more: change etcd_version in scripts/testbed.sh, and the tag in imageList"
# As in the image of others, its client is there too: a master that is gone is taken out of etcd with it.
take "$etcd_folder" usr/bin/etcd usr/bin/etcdctl
take_c_library
push "k8s.gcr.io/etcd:$etcd_version-0" "$recipes/etcd"

new_context
take "$("$repository/scripts/unpack-packages.sh" iptables iptables conntrack libip4tc2 libip6tc2 libxtables12 libnftnl11 \
    libmnl0 libnfnetlink0 libnetfilter-conntrack3)" 'usr/sbin/*' "$library/*"
take_c_library
for program in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "$work_folder/context/rootfs/usr/sbin/$program"
done
cp "$kubernetes_binaries/kube-proxy" "$work_folder/context/"
push "k8s.gcr.io/kube-proxy:v$kubernetes_version" "$recipes/kube-proxy"

new_context
gcc -Os -static -s -o "$work_folder/context/pause" "$recipes/pause/pause.c"
push "k8s.gcr.io/pause:$pause_version" "$recipes/pause"

new_context
cp /usr/bin/busybox "$work_folder/context/busybox" 2>/dev/null || cp /bin/busybox "$work_folder/context/busybox"
push "docker.io/sealer-examples/hello:1.0" "$hello_recipe"

rm -f "$1"/filled-*
touch "$stamp"
