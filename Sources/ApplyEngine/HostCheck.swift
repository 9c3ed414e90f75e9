import ClusterRuntime
import Clusterfile
import Diagnostics
import FoundationEssentials
import ImageStore
import OCI
import Remote
import Report

/// Checks hosts before the first change, those that nothing was done to yet.
struct HostCheck {
    let image: ClusterImage
    let settings: ClusterSettings
    /// The only host that runs the registry; nil when every master does.
    let registryHost: String?
    let progress: any ProgressSink

    /// Shows warnings, and throws what is fatal, all of it at once.
    ///
    /// - Parameter silent: members whose hosts do not answer.
    func check(_ hosts: [HostObservation], silent: [NodeStatus]) throws {
        let subjects = hosts.filter { $0.mark == nil }.map { host in
            var facts = host.facts
            facts.hostname = host.nodeName
            // What is in a node's container came with its image or from sealer: nobody loses it.
            if host.member.provider == .container {
                (facts.occupied, facts.runtimes) = ([], [])
                facts.programs.removeAll(where: Checker.broughtPrograms.contains)
            }
            // A worker's balancer listens at the registry's port as a serving master does. One that runs already is no
            // obstacle: no service starts on a host before its mark is there, and the mark goes last.
            let hasRegistryPort = !host.member.isMaster || registryHost == nil || registryHost == host.host
            return Checker.Subject(
                host: host.host, facts: facts, isMaster: host.member.isMaster,
                registryPort: hasRegistryPort ? settings.registry.port : nil,
                resetCommand: host.member.resetCommand(of: host.host))
        }
        // A layer is about three times its size when it is unpacked, and lies on the node packed too.
        let needed = image.manifest.layers.reduce(0) { $0 + $1.size } * 4 + 1 << 30
        // The Clusterfile's documents lie over the image's.
        let documents = settings.imageDocuments + settings.kubeadmDocuments
        let kubernetes = Checker.Kubernetes(
            minor: settings.version.minor,
            takesControlGroups1: documents.compactMap(\.takesControlGroups1).last ?? false)
        let findings = Checker().check(
            subjects, neededDisk: needed, kubernetes: kubernetes, now: Date.now.timeIntervalSince1970)
        for finding in findings where !finding.isFatal { progress.send(.warning(finding.description)) }
        for warning in try KubeadmConfiguration(settings).strangeGates() { progress.send(.warning(warning)) }
        var fatal = findings.filter(\.isFatal).map(\.description)
        for host in hosts where !image.config.platform.runs(on: host.facts.platform) {
            fatal.append("\(host.host): it is \(host.facts.platform), the image is for \(image.config.platform)")
        }
        fatal += Self.doubleNames(hosts, silent)
        guard fatal.isEmpty else {
            throw Failure(
                .invalidInput, "the hosts are not fit:\n\(fatal.joined(separator: "\n"))",
                remedy: "mend that, then run the command again")
        }
    }

    /// Names that a new host shares with a member; the checker sees only the new ones.
    private static func doubleNames(_ hosts: [HostObservation], _ silent: [NodeStatus]) -> [String] {
        let members = Dictionary(
            hosts.filter { $0.mark != nil }.map { ($0.nodeName, $0.host) }
                + silent.map { ($0.name, "the silent member at \($0.address ?? $0.name)") }
        ) { first, _ in first }
        return hosts.filter { $0.mark == nil }.compactMap { host in
            members[host.nodeName].map {
                "\(host.host): its host name \(host.nodeName) is that of \($0) too"
            }
        }
    }
}
