import FoundationEssentials
import Remote
import Report

extension Kubeadm {
    /// Starts the API server of the first master anew when a second one has become a member of etcd with a vote from the first
    /// moment, as it is before Kubernetes 1.17 (`joinEtcd` for those after it).
    ///
    /// From the moment at which etcd has two members until the second one runs, it has no leader, and the watches of the API server
    /// that there is are cut. Some of them do not come back before many minutes have gone by, though the server calls itself
    /// ready: whoever asks it (the controller manager beside it does) sees no new services, for instance, so that no service
    /// leads anywhere (kubernetes/kubernetes#97294). A further member does not cost etcd its leader.
    func renewStaleServer(of master: ClusterNode, step: Step) async throws {
        guard try await etcdMembers(through: master).count == 2 else { return }
        step.note("starting the API server of \(master.name) anew: its watches were cut while etcd had no leader")
        // Found by the port: other clusters' servers may run on the same kernel.
        try await master.host.check(
            .script(
                """
                pid="$(ss -Hltnp 'sport = :\(ClusterNames.apiServerPort)' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | sed -n 1p)"
                [[ -n $pid ]] || exit 0
                kill "$pid"
                for attempt in {1..50}; do
                    [[ -d /proc/$pid ]] || exit 0
                    sleep 0.2
                done
                kill -KILL "$pid" || true
                """),
            purpose: "ending the API server", limit: .seconds(60))
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            if try await kubectl(healthQuestion, through: master).status == 0 { return }
            try await Task.sleep(for: .milliseconds(300))
        }
        // Whoever needs it next says what is wrong.
        step.note("the API server of \(master.name) is not ready yet")
    }
}
