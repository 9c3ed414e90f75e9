import DockerEngine
import Report
import SystemPackage

extension ContainerProvider {
    /// Removes the containers, volumes and networks that carry the cluster's label, and looks whether they are gone.
    public func remove(cluster: String, progress: any ProgressSink) async throws -> RemovalReport {
        try HostsRequest.validate(cluster: cluster)
        return try await progress.step("removing the containers of \(cluster)") { step in
            let found = try await things(of: cluster)
            let failures = await remove(found, step)
            let left = try await things(of: cluster)
            guard left.isEmpty else {
                throw Failure(
                    .system,
                    "of cluster \(cluster) there is left: \(left.map(\.description).joined(separator: ", "))",
                    at: engine.socket.path.string,
                    remedy: left.map(\.remedy).joined(separator: "; "),
                    causes: failures
                )
            }
            return RemovalReport(removed: found.map(\.description))
        }
    }

    /// Everything that carries the cluster's label, in an order in which it can be removed.
    func things(of cluster: String) async throws -> [MadeThings.Thing] {
        let label = "\(ClusterLabel.cluster)=\(cluster)"
        return try await engine.containers(label: label).map { .container($0.name) }.sorted { "\($0)" < "\($1)" }
            + engine.volumes(label: label).map { .volume($0.name) }.sorted { "\($0)" < "\($1)" }
            + engine.networks(label: label).map { .network($0.name) }.sorted { "\($0)" < "\($1)" }
    }

    /// Removes things, containers at once and before all else; gives what went wrong.
    func remove(_ things: [MadeThings.Thing], _ step: Step?) async -> [any Error] {
        let containers = things.filter { if case .container = $0 { true } else { false } }
        var failures = await withTaskGroup(of: (any Error)?.self) { group in
            for thing in containers { group.addTask { await attempt(thing) } }
            var failures: [any Error] = []
            var done: Int64 = 0
            for await failure in group {
                if let failure { failures.append(failure) }
                done += 1
                step?.advance(done, of: Int64(things.count), unit: .items)
            }
            return failures
        }
        for thing in things where !containers.contains(thing) {
            if let failure = await attempt(thing) { failures.append(failure) }
        }
        return failures
    }

    private func attempt(_ thing: MadeThings.Thing) async -> (any Error)? {
        do {
            try await Failpoint.around("remove \(thing)") {
                switch thing {
                case .container(let name): try await engine.removeContainer(name)
                case .volume(let name): try await engine.removeVolume(name)
                case .network(let name): try await engine.removeNetwork(name)
                }
            }
            return nil
        } catch {
            return error
        }
    }

    /// Removes what a call had made before it failed; also when the call was cancelled.
    ///
    /// - Returns: the failure to throw: the one that was, and what is left because of it.
    func takeBack(_ made: MadeThings, after error: any Error) async -> any Error {
        let things = made.inOrderOfRemoval
        guard !things.isEmpty else { return error }
        let failures = await Task.detached { await remove(things, nil) }.value
        guard var failure = error as? Failure else { return error }
        if failures.isEmpty {
            failure.causes.append(Remark("what had been made for it was removed again: \(Self.list(things))"))
        } else {
            failure.causes += failures
            failure.remedy = "remove what is left: " + things.map(\.remedy).joined(separator: "; ")
        }
        return failure
    }

    private static func list(_ things: [MadeThings.Thing]) -> String {
        things.map(\.description).joined(separator: ", ")
    }
}

/// A remark among the causes of a failure.
struct Remark: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
