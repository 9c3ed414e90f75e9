import DockerEngine
import Report

extension ContainerProvider {
    /// How long a node's systemd may take to come up.
    static let startLimit = Duration.seconds(60)

    /// Waits until systemd in a container has started all it should start.
    ///
    /// - Throws: `Failure` of kind `commandFailed` when the container ended, with the end of its log; `timeout` with what systemd
    ///   said last.
    func waitForSystem(in container: String, _ step: Step) async throws {
        let end = ContinuousClock.now + Self.startLimit
        var last = "nothing yet"
        while ContinuousClock.now < end {
            let details = try await engine.inspectContainer(container)
            guard details.state.status == "running" else {
                throw await explainEnd(of: container, details.state)
            }
            do {
                let answer = try await engine.run(
                    ["systemctl", "is-system-running"], in: container, limit: .seconds(20))
                last = answer.output.split(separator: "\n").last.map(String.init) ?? "nothing"
            } catch let failure as Failure where [.conflict, .notFound, .timeout, .unreachable].contains(failure.kind) {
                // The container may just have ended; the next round looks.
                last = failure.what
            }
            switch last {
            case "running":
                return
            case "degraded":
                let failed = try await engine.run(
                    ["systemctl", "list-units", "--failed", "--no-legend", "--plain"],
                    in: container,
                    limit: .seconds(20)
                )
                let units = failed.output.split(separator: "\n").compactMap { $0.split(separator: " ").first }
                step.note("\(container): systemd is up without \(units.joined(separator: ", "))")
                return
            case "maintenance", "stopping":
                throw Failure(.commandFailed, "systemd in the container is in the state \"\(last)\"", at: container)
            default:
                try await Task.sleep(for: .milliseconds(200))
            }
        }
        throw Failure(
            .timeout,
            "waited \(Self.startLimit.inWords) for systemd in the container to come up, it said last: \(last)",
            at: container,
            remedy: "look at: docker logs \(container)"
        )
    }

    private func explainEnd(of container: String, _ state: ContainerDetails.State) async -> Failure {
        var log: String
        do {
            log = try await engine.logTail(of: container, lines: 20)
        } catch {
            log = "its log cannot be read: \(error)"
        }
        if let error = state.error, !error.isEmpty { log = "\(error)\n\(log)" }
        return Failure(
            .commandFailed,
            "the node container is \(state.status) with exit code \(state.exitCode)" + (log.isEmpty ? "" : ":\n\(log)"),
            at: container
        )
    }
}
