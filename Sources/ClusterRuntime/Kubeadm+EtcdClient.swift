import Clusterfile
import FoundationEssentials
import Remote
import Report

/// etcd is asked by its own client in the container of a master's etcd, through containerd. kubectl would need an API server that
/// knows the pod, and kubelet tells it of one that was started anew more than a minute later.
extension Kubeadm {
    /// Finds the container that runs; those that have ended are kept for their logs.
    private static let clientScript = #"""
        export PATH="$PATH:/usr/local/bin"
        pod="$1" socket="$2"
        shift 2
        runtime=(ctr --address "$socket" --namespace k8s.io)
        filter="labels.\"io.kubernetes.pod.namespace\"==kube-system,labels.\"io.kubernetes.pod.name\"==$pod"
        containers="$("${runtime[@]}" containers list --quiet "$filter,labels.\"io.kubernetes.container.name\"==etcd")"
        tasks="$("${runtime[@]}" tasks list)"
        for container in $containers; do
            state="$(awk -v container="$container" '$1 == container { print $3 }' <<<"$tasks")"
            [[ $state != RUNNING ]] || exec "${runtime[@]}" tasks exec --exec-id "sealer-$$-$RANDOM" "$container" "$@"
        done
        echo "ctr: no container of $pod runs" >&2
        exit 69
        """#

    func etcdMembers(through master: ClusterNode) async throws -> [EtcdMember] {
        try EtcdMember.list(fromJSON: try await etcd(["member", "list", "--write-out=json"], master).output)
    }

    /// Whether etcd was not reached: what containerd's own client says begins so, what etcd's says does not.
    static func isBeforeEtcd(_ error: String) -> Bool { error.hasPrefix("ctr: ") }

    /// Runs etcd's client on a master.
    ///
    /// - Parameter mayFail: whether a refusal of etcd's own is an answer; that it was not reached is none.
    /// - Throws: `Failure` of kind `commandFailed`; when it starts just now, not before a minute has passed.
    func etcd(_ arguments: [String], _ master: ClusterNode, mayFail: Bool = false) async throws -> CommandResult {
        let pki = "/etc/kubernetes/pki/etcd"
        // The client of etcd 3.3, which kubeadm before 1.17 starts, speaks another protocol unless it is told.
        let client =
            (settings.version.minor < 17 ? ["env", "ETCDCTL_API=3"] : []) + [
                "etcdctl", "--cacert=\(pki)/ca.crt", "--cert=\(pki)/healthcheck-client.crt",
                "--key=\(pki)/healthcheck-client.key",
            ]
        // kubeadm lets etcd listen at the loopback address of the family of the master's own.
        let loopback = ClusterNames.loopback(of: master.address).urlHost
        let endpoint =
            arguments.contains { $0.hasPrefix("--endpoints=") } ? [] : ["--endpoints=https://\(loopback):2379"]
        let socket = try await preparation.runtime(of: master).socket
        let command = RemoteCommand(
            ["/bin/bash", "-euo", "pipefail", "-c", Self.clientScript, "etcd", "etcd-\(master.name)", socket] + client
                + endpoint + arguments)
        return try await Self.patiently {
            let result = try await master.host.run(command, limit: .seconds(30), output: { _ in })
            guard result.status == 0 || (mayFail && !Self.isBeforeEtcd(result.errorText)) else {
                throw Failure(
                    .commandFailed,
                    "etcd does not answer to \(arguments.prefix(2).joined(separator: " ")): \(result.errorText)",
                    at: master.host.name)
            }
            return result
        }
    }
}
