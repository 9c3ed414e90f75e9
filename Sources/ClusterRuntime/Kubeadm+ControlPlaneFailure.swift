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

    /// Whether a component ends again and again over an argument that its new manifest has. Only what it says of its arguments
    /// counts: whatever else it ends for may be over in a while, as etcd not answering yet.
    func refusedArgument(of component: String, _ pod: StaticPod, on master: ClusterNode) async throws
        -> RefusedArgument?
    {
        guard let log = try await newestLog(of: component, on: master), log.restarts > 0 else { return nil }
        return log.lines.first { Self.isComplaint($0, of: pod.body.command) }.map {
            RefusedArgument(component: component, complaint: String($0.dropFirst("Error: ".count)))
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
        // Error: invalid argument "VALUE" for "--NAME" flag: REASON
        return arguments.contains { argument in
            guard let equals = argument.firstIndex(of: "=") else { return false }
            let value = argument[argument.index(after: equals)...]
            return line.hasPrefix("Error: invalid argument \"\(value)\" for \"\(argument[..<equals])\" flag: ")
        }
    }

    /// The newest log of a component's container; nil when there is none. The file itself: nobody answers to kubectl logs where the
    /// API server is the one that fails, and not every host has crictl. Its name is the number of restarts.
    func newestLog(of component: String, on master: ClusterNode) async throws -> ComponentLog? {
        let result = try await master.host.run(
            .script(
                """
                newest=$(ls -t /var/log/pods/kube-system_"$COMPONENT"-*/"$COMPONENT"/*.log 2>/dev/null | head -n 1)
                [[ -z $newest ]] || { basename "$newest" .log; tail -n 20 -- "$newest"; }
                """, environment: ["COMPONENT": component]), limit: .seconds(20), output: { _ in })
        let lines = result.outputText.split(separator: "\n")
        guard let name = lines.first else { return nil }
        return ComponentLog(restarts: Int(name) ?? 0, lines: lines.dropFirst().map { Self.withoutLogHead($0) })
    }

    /// Brings the former manifests back, and waits until the API server answers with them.
    ///
    /// - Returns: the failure to throw: the first one, with what the component said last.
    func takeBack(
        _ former: FormerFiles, on master: ClusterNode, after failure: Failure, of component: String = "kube-apiserver"
    ) async -> Failure {
        var failure = failure
        do {
            let lines = try await newestLog(of: component, on: master)?.lines.suffix(5) ?? []
            try await former.bringBack(on: master.host)
            let limit = Duration.seconds(180)
            let end = ContinuousClock.now + limit
            var isBack = false
            while !isBack, ContinuousClock.now < end {
                isBack = try await kubectl([ownServer(master), "get", "--raw=/readyz"], through: master).status == 0
                if !isBack { try await Task.sleep(for: .seconds(1)) }
            }
            failure.what +=
                isBack
                ? "; the former configuration was brought back, and the API server answers"
                : "; the former configuration was brought back, but the API server does not answer \(limit.inWords) later"
            if !lines.isEmpty {
                failure.what += "; the log of \(component) ended with:\n\(lines.joined(separator: "\n"))"
            }
            if isBack { try await FormerFiles.forget(Self.controlPlanePurpose, on: master.host) }
        } catch {
            failure.causes.append(error)
        }
        failure.remedy = "correct the settings of the control plane in the Clusterfile, then run it again"
        return failure
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
