import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageTree
import Remote
import Report
import SystemPackage

/// Takes off a host all that sealer and its images brought; what was there before stays.
struct HostReset {
    /// The folder that rootfs are unpacked below.
    let dataRoot: String
    /// The cluster that brought it; nil when nothing tells.
    let cluster: String?

    /// The units that sealer itself brings.
    private static let units = [HostsFile.unit, RegistryService.unit, PodNetworkPlan.unit, BalancerService.unit]
    /// The files and folders that sealer itself brings, the agent's own apart.
    private static let folders: [FilePath] = [
        "/etc/sealer", "/etc/sealerio", "/etc/containerd/certs.d/_default", "/var/lib/sealer/data",
    ]
    /// The store, which may have been there with images before: where somebody runs sealer as root, it is theirs.
    private static let store = "/var/lib/sealer/store"
    /// What kubectl keeps when it is run there.
    private static let kubectlCache = "/root/.kube/cache"

    /// Folders that installations share with others: they go only where they were not there before, and only when they are empty.
    private static let sharedFolders = [
        "/etc/cni", "/etc/containerd", "/opt/cni", "/opt/cni/bin", "/opt/containerd", "/usr/lib/modules",
        "/usr/libexec/kubernetes", "/var/lib/kubelet", "/var/lib/etcd", "/var/lib/cni", "/var/lib/containerd",
        "/root/.kube",
    ]

    /// Which of the folders a host does not have that others may have brought too, the store among them when it has no image; to be
    /// asked before the first change.
    static func absentFolders(on host: any Host, dataRoot: String, cluster: String?) async throws -> [String] {
        let folders = sharedFolders + [kubectlCache] + way(to: dataRoot, of: cluster)
        let result = try await host.check(
            .script(
                """
                while IFS= read -r folder; do
                    [[ -e $folder ]] || printf '%s\\n' "$folder"
                done <<<"$FOLDERS"
                [[ -e \(store)/index.json ]] && ! grep -qF '"manifests":[]' \(store)/index.json || echo \(store)
                """,
                environment: ["FOLDERS": folders.joined(separator: "\n")]),
            purpose: "looking at the host's folders", limit: .seconds(30))
        return result.outputText.split(separator: "\n").map(String.init)
    }

    /// The folder of a cluster below a data root, and those above it, none of which need be there before; empty for the usual
    /// root, which is sealer's own. In the order in which they can be removed.
    private static func way(to dataRoot: String, of cluster: String?) -> [String] {
        guard dataRoot != Cluster.defaultDataRoot, let cluster else { return [] }
        var folders: [String] = []
        var folder = FilePath(dataRoot).appending(cluster)
        while folder.lastComponent != nil {
            folders.append(folder.string)
            folder.removeLastComponent()
        }
        return folders
    }

    /// Whether the host's store came with sealer.
    static func bringsStore(_ mark: NodeMark?) -> Bool { (mark?.newFolders ?? [store]).contains(store) }

    /// Gives a host a name, at once and for every later boot, and looks whether it has it.
    static func setHostname(_ name: String, on host: any Host) async throws {
        try await FileInPlace.write(Data("\(name)\n".utf8), to: "/etc/hostname", on: host)
        // The kernel is told as systemd's own program would.
        try await host.check(
            .script(
                "tee /proc/sys/kernel/hostname <<<\"$NODE_NAME\" >/dev/null", environment: ["NODE_NAME": name]),
            purpose: "giving the host the name \(name)", limit: .seconds(20))
        let now = try await host.facts().hostname
        guard now == name else {
            throw Failure(.integrity, "the host was given the name \(name), and is \(now) still", at: host.name)
        }
    }

    /// Does it, and looks whether it is gone.
    ///
    /// - Returns: what is not as it was before sealer came; nil when that cannot be told.
    /// - Throws: `Failure` that names what of sealer's own is left.
    func reset(_ host: any Host, step: Step) async throws -> HostChanges? {
        let mark = try await NodeMark.read(from: host)
        let newFolders =
            if let mark {
                mark.newFolders ?? [Self.store]
            } else {
                try await Self.absentFolders(on: host, dataRoot: dataRoot, cluster: cluster)
            }
        for rootfs in try await rootfsFolders(on: host) {
            for script in ["clean-kube.sh", "uninstall-containerd.sh"] {
                let path = rootfs.appending("scripts").appending(script)
                guard try await host.inspect([path])[path.string] != nil else { continue }
                try await host.check(
                    RemoteCommand(["/bin/bash", "scripts/\(script)"], workingDirectory: rootfs.string),
                    purpose: "scripts/\(script) of the image", limit: .seconds(300), output: { step.note($0.text) })
            }
        }
        try await Failpoint.reach("reset scripts \(host.name)")
        try await host.check(
            .script(
                """
                for unit in \(Self.units.joined(separator: " ")); do
                    [[ -e /etc/systemd/system/$unit ]] || continue
                    systemctl disable --quiet --now "$unit"
                    rm -f "/etc/systemd/system/$unit"
                done
                systemctl daemon-reload
                [[ ! -e /sys/class/net/\(PodNetworkPlan.device) ]] || ip link delete \(PodNetworkPlan.device)
                for filter in iptables ip6tables; do
                    # A kernel without IPv6 has no such table.
                    rules="$($filter-save -t nat 2>/dev/null)" || continue
                    sed -n 's/^-A \\(POSTROUTING .*\(PodNetworkPlan.ruleMark).*\\)/-D \\1/p' <<<"$rules" |
                        while read -r -a rule; do $filter -w -t nat "${rule[@]}"; done
                done
                """),
            purpose: "taking sealer's services away", limit: .seconds(120))
        try await Failpoint.reach("reset services \(host.name)")
        let hosts = try await host.readFile("/etc/hosts", limit: 1 << 20) ?? Data()
        let text = HostsFile.text(String(decoding: hosts, as: UTF8.self), with: [])
        if Data(text.utf8) != hosts { try await FileInPlace.write(Data(text.utf8), to: "/etc/hosts", on: host) }
        if let name = mark?.formerHostname { try await Self.setHostname(name, on: host) }
        // Beside the rootfs there may be the user's own.
        for folder in try await Self.folders + unpacked(on: host) { try await host.delete(folder) }
        for folder in [Self.store, Self.kubectlCache] where newFolders.contains(folder) {
            try await host.delete(FilePath(folder))
        }
        let shared = newFolders.filter(Self.sharedFolders.contains)
        // A folder in one that was not there was not there either, whatever an earlier sealer noted.
        let way = Self.way(to: dataRoot, of: cluster).filter { folder in
            newFolders.contains(folder) || newFolders.contains(FilePath(folder).removingLastComponent().string)
        }
        if !shared.isEmpty || !way.isEmpty {
            try await host.check(
                .script(
                    """
                    for folder in \(shared.joined(separator: " ")); do
                        [[ ! -d $folder ]] || find "$folder" -xdev -depth -type d -empty -delete
                    done
                    while IFS= read -r folder; do
                        # A user may have made a link or a mount of it: that stays.
                        [[ ! -d $folder || -L $folder ]] || rmdir "$folder" 2>/dev/null || true
                    done <<<"$WAY"
                    """,
                    environment: ["WAY": way.joined(separator: "\n")]),
                purpose: "taking empty folders away", limit: .seconds(60))
        }
        try await Failpoint.reach("reset folders \(host.name)")
        let left = try await host.services(Self.units).filter { $0.value.isActive || $0.value.isEnabled }.keys.sorted()
        guard left.isEmpty else {
            throw Failure(.system, "still there: \(left.joined(separator: ", "))", at: host.name)
        }
        try await HostBaseline.restoreSettings(on: host, step: step)
        var changes = try await HostBaseline.changes(on: host)
        // Without a mark either it was done before, as far as here.
        if mark == nil, changes == nil { changes = HostChanges(comparison: "") }
        try await host.delete(HostBaseline.path)
        // The mark goes last: as long as it is there, the host counts as the cluster's.
        try await host.delete(NodeMark.path)
        try await Failpoint.reach("reset mark \(host.name)")
        // Not by its path: whoever holds it may be renewing it just now.
        try await host.returnLease(nil)
        try await Self.deleteAgent(on: host)
        return changes
    }

    /// The rootfs of the cluster, and what an interrupted unpacking left beside it.
    private func unpacked(on host: any Host) async throws -> [FilePath] {
        guard let cluster else { return [] }
        let folder = FilePath(dataRoot).appending(cluster)
        let found = try await host.check(
            .script(
                "for left in \"$FOLDER/$PREFIX\"*; do [[ ! -d $left ]] || printf '%s\\n' \"$left\"; done",
                environment: ["FOLDER": folder.string, "PREFIX": TreeUnpacker.prefix("rootfs")]),
            purpose: "looking for what was unpacked", limit: .seconds(30))
        return [folder.appending("rootfs")] + found.outputText.split(separator: "\n").map { FilePath(String($0)) }
    }

    /// The rootfs of the cluster, or all that are there when nothing tells whose the host was.
    private func rootfsFolders(on host: any Host) async throws -> [FilePath] {
        if let cluster { return [FilePath(dataRoot).appending(cluster).appending("rootfs")] }
        let found = try await host.check(
            .script(
                "for folder in \"$DATA\"/*/rootfs; do [[ ! -d $folder ]] || printf '%s\\n' \"$folder\"; done",
                environment: ["DATA": dataRoot]),
            purpose: "looking for what images brought", limit: .seconds(30))
        return found.outputText.split(separator: "\n").map { FilePath(String($0)) }
    }

    /// Deletes the agent, which may still be asked over the connection that there is. A new connection brings it again.
    static func deleteAgent(on host: any Host) async throws {
        try await host.delete("/var/lib/sealer/bin")
        // Where it is a mount of its own it stays.
        try await host.check(
            .script("rmdir --ignore-fail-on-non-empty /var/lib/sealer 2>/dev/null || true"),
            purpose: "taking sealer's folder away", limit: .seconds(30))
    }
}
