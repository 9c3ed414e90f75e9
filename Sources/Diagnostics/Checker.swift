import Remote
import Report

/// Checks hosts before the first change, all of them at once, so that one run shows everything that has to be mended.
public struct Checker: Sendable {
    /// What a host is to become; what it must have depends on that.
    public struct Subject: Sendable {
        /// The host's name for people.
        public var host: String
        /// What it is and has.
        public var facts: HostFacts
        /// Whether it will run the control plane.
        public var isMaster: Bool
        /// The port at which it will listen for the registry: as a master that serves it, or as a worker, whose balancer
        /// leads to it; nil when it will not.
        public var registryPort: UInt16?
        /// The command that takes it back to what it was before sealer came.
        public var resetCommand: String

        /// Makes a subject.
        ///
        /// - Parameter resetCommand: nil for one without the way to the host.
        public init(
            host: String, facts: HostFacts, isMaster: Bool, registryPort: UInt16? = nil, resetCommand: String? = nil
        ) {
            self.host = host
            self.facts = facts
            self.isMaster = isMaster
            self.registryPort = registryPort
            self.resetCommand = resetCommand ?? "sealer reset \(host)"
        }
    }

    /// What of the Kubernetes that hosts are to run decides what they must be.
    public struct Kubernetes: Sendable {
        /// The minor number of its version: 20 of v1.20.2.
        public var minor: Int
        /// Whether kubelet is told to start on control groups of version 1 (`failCgroupV1: false`).
        public var takesControlGroups1: Bool

        /// Describes a version.
        public init(minor: Int, takesControlGroups1: Bool = false) {
            self.minor = minor
            self.takesControlGroups1 = takesControlGroups1
        }
    }

    /// Something that is not as it should be.
    public struct Finding: Sendable, Hashable, CustomStringConvertible {
        /// Whether the cluster cannot be made because of it.
        public var isFatal: Bool
        /// The host.
        public var host: String
        /// What was found, and what was expected.
        public var message: String

        /// `HOST: message`.
        public var description: String { "\(host): \(message)" }
    }

    private static let gibibyte: Int64 = 1 << 30
    private static let neededPrograms = ["ip", "iptables", "mount", "systemctl"]
    /// What images usually bring and put where packages do.
    public static let broughtPrograms = ["containerd", "crictl", "ctr", "kubeadm", "kubectl", "kubelet", "runc"]
    /// The API server's: on a master its own, on a worker the balancer's, which leads to those of all masters.
    private static let apiServerPort: UInt16 = 6443
    private static let workerPorts: [UInt16] = [apiServerPort, 10250, 10256]
    private static let masterPorts: [UInt16] = [2379, 2380, 10257, 10259]

    /// Makes a checker.
    public init() {}

    /// Looks at the facts of all hosts.
    ///
    /// - Parameters:
    ///   - neededDisk: bytes that the image needs on a host.
    ///   - kubernetes: what they are to run.
    ///   - now: seconds since 1970 by the operator's clock.
    public func check(_ subjects: [Subject], neededDisk: Int64, kubernetes: Kubernetes, now: Double) -> [Finding] {
        subjects.flatMap { check($0, neededDisk: neededDisk, kubernetes: kubernetes, now: now) } + checkNames(subjects)
    }

    private func check(_ subject: Subject, neededDisk: Int64, kubernetes: Kubernetes, now: Double) -> [Finding] {
        let facts = subject.facts
        var findings: [Finding] = []
        func note(_ isFatal: Bool, _ message: String) {
            findings.append(Finding(isFatal: isFatal, host: subject.host, message: message))
        }
        if !facts.hasSystemd { note(true, "systemd is not process 1, it was expected to run the services") }
        for program in Self.neededPrograms where !facts.programs.contains(program) {
            note(true, "the program \(program) is not in PATH, Kubernetes needs it")
        }
        if facts.isKubernetesNode {
            note(
                true,
                "it is a member of a cluster already (/etc/kubernetes/kubelet.conf is there), a free host was expected; "
                    + "take another one, or take it out of that cluster, by kubeadm reset for instance")
        }
        for problem in Self.losses(on: subject) { note(true, problem) }
        let replaced = Self.broughtPrograms.filter(facts.programs.contains)
        if !replaced.isEmpty {
            note(
                false,
                "\(replaced.joined(separator: ", ")) \(replaced.count == 1 ? "is" : "are") there already: an image that brings "
                    + "the same puts its own in their place, and takes them away when the host leaves; keep a copy")
        }
        if let problem = Self.problem(ofControlGroups: facts.cgroups, for: kubernetes) { note(true, problem) }
        let ports =
            Self.workerPorts + (subject.isMaster ? Self.masterPorts : []) + (subject.registryPort.map { [$0] } ?? [])
        for port in ports where facts.listeningPorts.contains(port) {
            let isBalanced = !subject.isMaster && (port == Self.apiServerPort || port == subject.registryPort)
            let purpose = isBalanced ? ": a worker's way to the masters begins there" : ""
            note(
                true, "port \(port) is taken, it was expected to be free\(purpose); ss -ltnp there shows by what")
        }
        if facts.freeDisk < neededDisk {
            note(
                true,
                "\(facts.freeDisk >> 20) MiB of disk are free at /var/lib/sealer, \(neededDisk >> 20) MiB were expected; "
                    + "make room there"
            )
        }
        if subject.isMaster, facts.processors < 2 {
            note(false, "it has one processor, two are expected of a master")
        }
        let memory = subject.isMaster ? 17 * Self.gibibyte / 10 : Self.gibibyte / 2
        if facts.memory < memory {
            note(false, "it has \(facts.memory >> 20) MiB of memory, \(memory >> 20) MiB are expected")
        }
        if abs(facts.clock - now) > 60 {
            let seconds = Int(abs(facts.clock - now).rounded())
            note(
                true,
                "its clock is \(seconds) s \(facts.clock > now ? "ahead of" : "behind") this machine's, certificates would "
                    + "not be valid; set the one that is wrong, by timedatectl set-ntp true for instance"
            )
        }
        return findings
    }

    /// What of the user's would be lost: images overwrite the settings of a container runtime and start it anew, and empty its
    /// folders and those of Kubernetes when the host is taken back.
    private static func losses(on subject: Subject) -> [String] {
        let (folders, runtimes) = (subject.facts.occupied, subject.facts.runtimes)
        var losses: [String] = []
        if !folders.isEmpty {
            losses.append(
                "there is something in \(folders.joined(separator: ", ")), it was expected to be empty: a cluster takes that "
                    + "over, and all of it is deleted when the host leaves; move it away, or take another host; the rest of "
                    + "a former cluster goes by \(subject.resetCommand) when sealer made it, by kubeadm reset when kubeadm did"
            )
        }
        if !runtimes.isEmpty {
            losses.append(
                "\(runtimes.joined(separator: " and ")) \(runtimes.count == 1 ? "runs" : "run") there, no container runtime "
                    + "was expected: the image brings its own in that place, and the containers would end; move them to "
                    + "another host and stop the runtime for good (systemctl disable --now), or take another host for the "
                    + "cluster; what is left of a former cluster of sealer's goes by \(subject.resetCommand)")
        }
        return losses
    }

    /// Why kubelet would not run on a host's control groups; nil when it would, or when they are not known.
    ///
    /// - Parameter groups: as `HostFacts.cgroups`; those called hybrid are of version 1 to kubelet.
    private static func problem(ofControlGroups groups: String, for kubernetes: Kubernetes) -> String? {
        switch groups {
        case "v2" where kubernetes.minor < 19:
            "its control groups (cgroups) are of version 2, Kubernetes 1.\(kubernetes.minor) was made for version 1; "
                + "start its kernel with systemd.unified_cgroup_hierarchy=0, or take an image with Kubernetes 1.19 or "
                + "later"
        case "v1" where kubernetes.minor >= 35 && !kubernetes.takesControlGroups1,
            "hybrid" where kubernetes.minor >= 35 && !kubernetes.takesControlGroups1:
            "its control groups (cgroups) are of version 1, kubelet of Kubernetes 1.\(kubernetes.minor) expects 2; "
                + "start its kernel with systemd.unified_cgroup_hierarchy=1, or give the Clusterfile a "
                + "KubeletConfiguration with failCgroupV1: false"
        default: nil
        }
    }

    /// Whether a host name can be a node's: what DNS allows of small letters, and short enough for the label that kubelet makes of it.
    /// kubeadm would make small letters of others, and the node would have another name than its host.
    private static func isNodeName(_ name: String) -> Bool {
        (1...63).contains(name.utf8.count)
            && name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { part in
                !part.isEmpty && part.first != UInt8(ascii: "-") && part.last != UInt8(ascii: "-")
                    && part.allSatisfy { byte in
                        switch byte {
                        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
                        default: byte == UInt8(ascii: "-")
                        }
                    }
            }
    }

    private func checkNames(_ subjects: [Subject]) -> [Finding] {
        let unfit = subjects.filter { !Self.isNodeName($0.facts.hostname) }.map { subject in
            Finding(
                isFatal: true, host: subject.host,
                message:
                    "its host name \(subject.facts.hostname) cannot be a node's, small letters, digits, - and . were "
                    + "expected, at most 63, with a letter or a digit at both ends of what is between dots; give it another "
                    + "one, by hostnamectl set-hostname NAME there or by a HOSTNAME plugin of the Clusterfile")
        }
        return unfit + doubleNames(subjects)
    }

    private func doubleNames(_ subjects: [Subject]) -> [Finding] {
        Dictionary(grouping: subjects) { $0.facts.hostname }
            .filter { $0.value.count > 1 }
            .sorted { $0.key < $1.key }
            .flatMap { name, hosts in
                hosts.map {
                    Finding(isFatal: true, host: $0.host, message: "its host name \(name) is that of another host too")
                }
            }
    }
}
