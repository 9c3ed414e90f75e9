import FoundationEssentials
import Remote
import Report
import SystemPackage

/// A control plane that does not come up with its new configuration: why, and back to the former one.
extension Kubeadm {
    /// What a component's newest log says.
    struct ComponentLog {
        /// How often kubelet has started the container anew.
        var restarts: Int
        /// The last lines, without time and stream.
        var lines: [String]
    }

    /// A component ends at once, since it does not take an argument of its new manifest. Waiting does not change that.
    struct RefusedArgument: Error {
        var component: String
        /// In the component's words.
        var complaint: String

        func failure(on host: String) -> Failure {
            Failure(.commandFailed, "\(component) does not start with its new configuration: \(complaint)", at: host)
        }
    }

    /// Whether a component, or etcd, ends again and again over an argument that its new manifest has. Only what it says of its arguments
    /// counts: whatever else it ends for may be over in a while, as etcd not answering yet.
    func refusedArgument(of component: String, _ pod: StaticPod, on master: ClusterNode) async throws
        -> RefusedArgument?
    {
        guard let log = try await newestLog(of: component, on: master), log.restarts > 0 else { return nil }
        return log.lines.first { Self.isComplaint($0, of: pod.body.command) }.map {
            RefusedArgument(component: component, complaint: $0.replacing("Error: ", with: "", maxReplacements: 1))
        }
    }

    /// Whether a line of a log says that one of the arguments is unknown or has a value that cannot be read. The former pod's log
    /// may be the newest one still, so that what is said of no argument at hand is none.
    static func isComplaint(_ line: String, of arguments: [String]) -> Bool {
        let unknown = "Error: unknown flag: --"
        if line.hasPrefix(unknown) {
            let name = line.dropFirst(unknown.count)
            return arguments.contains { $0 == "--\(name)" || $0.hasPrefix("--\(name)=") }
        }
        // etcd's words, which are those of Go's package flag.
        let undefined = "flag provided but not defined: -"
        if line.hasPrefix(undefined) {
            let name = line.dropFirst(undefined.count)
            return arguments.contains { $0 == "--\(name)" || $0.hasPrefix("--\(name)=") }
        }
        // Error: invalid argument "VALUE" for "--NAME" flag: REASON
        // invalid value "VALUE" for flag -NAME: REASON
        return arguments.contains { argument in
            guard let equals = argument.firstIndex(of: "=") else { return false }
            let value = argument[argument.index(after: equals)...]
            return line.hasPrefix("Error: invalid argument \"\(value)\" for \"\(argument[..<equals])\" flag: ")
                || line.hasPrefix("invalid value \"\(value)\" for flag \(argument[..<equals].dropFirst()): ")
                || line.hasPrefix("invalid boolean value \"\(value)\" for \(argument[..<equals].dropFirst()): ")
        }
    }

    /// The newest log of a component's container; nil when there is none. The file itself: nobody answers to kubectl logs where the
    /// API server is the one that fails, and not every host has crictl. Its name is the number of restarts.
    func newestLog(of component: String, on master: ClusterNode) async throws -> ComponentLog? {
        let result = try await master.host.run(
            .script(
                """
                newest=$(ls -t /var/log/pods/kube-system_"$COMPONENT"-*/"$COMPONENT"/*.log 2>/dev/null | sed -n 1p)
                [[ -z $newest ]] || { basename "$newest" .log; tail -n 60 -- "$newest"; }
                """, environment: ["COMPONENT": component]), limit: .seconds(20), output: { _ in })
        let lines = result.outputText.split(separator: "\n")
        guard let name = lines.first else { return nil }
        return ComponentLog(restarts: Int(name) ?? 0, lines: lines.dropFirst().map { Self.withoutLogHead($0) })
    }

    /// Brings the former manifests back, and waits until the API server answers with them.
    ///
    /// - Returns: the failure to throw: the first one, with what the component said last.
    func takeBack(
        _ former: FormerFiles, for purpose: String, on master: ClusterNode, after failure: Failure, of component: String
    ) async -> Failure {
        var failure = failure
        do {
            let lines = try await newestLog(of: component, on: master)?.lines.suffix(5) ?? []
            try await former.bringBack(on: master.host)
            let isBack = try await comesBack(master)
            failure.what +=
                isBack
                ? "; the former configuration was brought back, and the API server answers"
                : "; the former configuration was brought back, but the API server does not answer \(Self.returnLimit.inWords) later"
            if !lines.isEmpty {
                failure.what += "; the log of \(component) ended with:\n\(lines.joined(separator: "\n"))"
            }
            if isBack { try await FormerFiles.forget(purpose, on: master.host) }
        } catch {
            failure.causes.append(error)
        }
        failure.remedy = "correct the settings of the control plane in the Clusterfile, then run it again"
        return failure
    }

    private static let purposes = [controlPlanePurpose, etcdPurpose]

    /// Whether former files are kept still.
    public func isCut(_ master: ClusterNode) async throws -> Bool {
        try await !master.host.inspect(Self.purposes.map(FormerFiles.place)).isEmpty
    }

    /// Writes the files on all of them before it waits for one: etcd of one may need that of another.
    public func bringBackFormerSettings(of masters: [ClusterNode], step: Step) async throws {
        for master in masters {
            step.note("\(master.name): the control plane gets back what it had before an interrupted change")
            for purpose in Self.purposes {
                try await FormerFiles.kept(for: purpose, on: master.host)?.bringBack(on: master.host)
            }
            // It has counted how often what did not run has ended, and waits for minutes before it tries again.
            try await restartKubelet(on: master)
        }
        for master in masters {
            guard try await comesBack(master) else {
                throw Failure(
                    .timeout, "the API server does not answer with what it had before an interrupted change either",
                    at: master.host.name, remedy: "see why on the host: journalctl --unit kubelet")
            }
            for purpose in Self.purposes { try await FormerFiles.forget(purpose, on: master.host) }
        }
    }

    static let returnLimit = Duration.seconds(180)

    /// Waits until the master's API server answers; false when it does not in time.
    func comesBack(_ master: ClusterNode, within limit: Duration = returnLimit) async throws -> Bool {
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            if try await answers(master) { return true }
            try await Task.sleep(for: .seconds(1))
        }
        return false
    }

    /// A line of a container's log without time and stream: `TIME stderr F TEXT`.
    static func withoutLogHead(_ line: Substring) -> String {
        let parts = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 4, parts[1] == "stderr" || parts[1] == "stdout" else {
            return String(line)
        }
        return String(parts[3])
    }
}
