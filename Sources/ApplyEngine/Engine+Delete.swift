import ClusterRuntime
import Clusterfile
import FoundationEssentials
import Infra
import LinuxSystem
import Remote
import Report
import Synchronization

extension Engine {
    /// Removes a cluster: takes all that it brought off hosts of the user's, removes hosts that were made for it, and its folder on
    /// this machine.
    ///
    /// - Parameters:
    ///   - skipsPlugins: whether plugins of the phases of leaving are left out.
    ///   - givesUpSilent: whether hosts that do not answer are left as they are, each named in a warning.
    /// - Returns: what was removed, for people.
    /// - Throws: `Failure` of kind `notFound` when there is nothing of that name; a failure that names what is left, and why.
    public func delete(
        _ name: String, skipsPlugins: Bool = false, givesUpSilent: Bool = false
    ) async throws -> [String] {
        let folder = ClusterFolder(state: state, cluster: name)
        let owner = try await LeaseOwner.current("sealer delete", cluster: name)
        let lock = try await BlockingPool.shared.run { try folder.lock(owner) }
        defer { lock.release() }
        let members = try await BlockingPool.shared.run { try folder.readCluster(folder.members) }
        var places = Places(wanted: try await members.asyncMap { try await infra.places(of: $0) } ?? [], leaving: [])
        let pool = HostPool(connector)
        await pool.set(places.wanted)
        if givesUpSilent { places.wanted = await answering(places.wanted, pool) }
        let answering = places
        let removed: [String]
        do {
            removed = try await ClusterLock(purpose: .removal, ended: lock.ended).holding(
                on: answering.masters, pool: pool, owner: owner, progress: progress
            ) {
                let farewell =
                    skipsPlugins
                    ? nil
                    : members.map {
                        Farewell(
                            cluster: $0, places: answering.wanted, pool: pool, progress: progress, rootWords: rootWords)
                    }
                await farewell?.connect()
                try await farewell?.run(.preUninstall)
                try await farewell?.run(.preCleanHost)
                var removed: [String] = []
                try await Failpoint.reach("delete hosts \(name)")
                if let members { removed += try await reset(members, answering.wanted, pool) }
                try await Failpoint.reach("delete containers \(name)")
                try await farewell?.runAfterReset()
                return try await removed + removeContainers(name, members)
            }
            await pool.close()
        } catch {
            await pool.close()
            throw error
        }
        let hadFolder = try await Failpoint.around("delete folder \(name)") {
            try await BlockingPool.shared.run {
                let existed = folder.hasAnything
                try folder.delete()
                return existed
            }
        }
        guard hadFolder || !removed.isEmpty else {
            throw Failure(
                .notFound, "there is no cluster of that name", at: name,
                remedy: "see what there is with: sealer clusters")
        }
        return removed + (hadFolder ? ["folder \(folder.path)"] : [])
    }

    /// The places that answer, and containers, which are removed without being asked. The others are named: what sealer brought
    /// stays on them.
    private func answering(_ places: [HostPlace], _ pool: HostPool) async -> [HostPlace] {
        let silent = Mutex<Set<String>>([])
        let progress = progress
        _ = await failuresOfEach(places.filter { $0.member.provider != .container }) { place in
            do {
                _ = try await pool.connection(place.name)
            } catch let failure as Failure where failure.isSilence {
                silent.withLock { _ = $0.insert(place.name) }
                progress.send(
                    .warning(
                        "\(place.name) does not answer and is given up, so what sealer brought stays there until 'sealer "
                            + "reset' takes it off: \(Failure.words(of: failure))"))
            }
        }
        let given = silent.withLock { $0 }
        return places.filter { !given.contains($0.name) }
    }

    /// Removes containers where the cluster has some, or where nothing is known of it.
    private func removeContainers(_ name: String, _ members: Cluster?) async throws -> [String] {
        if let members, HostsRequest(members) == nil { return [] }
        return try await infra.remove(cluster: name, progress: progress).removed
    }

    /// Takes off one host all that sealer brought, whatever has become of its cluster.
    ///
    /// - Returns: the name of the cluster that it was of; nil when nothing tells.
    public func reset(_ member: ClusterMember) async throws -> String? {
        let place = try await infra.place(of: member)
        let pool = HostPool(connector)
        await pool.set([place])
        do {
            let mark = try await pool.withConnection(place.name) { try await NodeMark.read(from: $0.host) }
            let reset = HostReset(dataRoot: mark?.dataRoot ?? Cluster.defaultDataRoot, cluster: mark?.cluster)
            try await Self.reset(place, by: reset, pool, progress)
            await pool.close()
            return mark?.cluster
        } catch {
            await pool.close()
            throw error
        }
    }

    /// Takes everything off the hosts of the user's, all at once; every host on which that fails is named.
    private func reset(_ cluster: Cluster, _ places: [HostPlace], _ pool: HostPool) async throws -> [String] {
        let places = places.filter { $0.member.provider != .container }
        guard !places.isEmpty else { return [] }
        let reset = HostReset(dataRoot: cluster.dataRoot, cluster: cluster.name)
        let progress = progress
        let failures = await failuresOfEach(places) { place in
            try await Self.reset(place, by: reset, pool, progress)
        }
        guard failures.isEmpty else {
            throw Failure(
                (failures.first as? Failure)?.kind ?? .software,
                "\(failures.count) of \(places.count) hosts could not be taken back to what they were",
                at: cluster.name,
                remedy:
                    "mend that, then run it again, or give up hosts that do not answer with --skip-unreachable: sealer "
                    + "delete --name \(cluster.name)\(rootWords)",
                causes: failures)
        }
        return places.map { "what was on host \($0.name)" }
    }

    /// Takes everything off a host, and tells what is left there that was not before.
    private static func reset(
        _ place: HostPlace, by reset: HostReset, _ pool: HostPool, _ progress: any ProgressSink
    ) async throws {
        _ = try await pool.connection(place.name)
        try await progress.step("take off the host all that sealer brought", host: place.name) { step in
            try await withLimit(.seconds(900), waitingFor: "the host to be reset", at: place.name) {
                let changes = try await pool.withConnection(place.name) { connection -> HostChanges? in
                    let mark = try await NodeMark.read(from: connection.host)
                    if let other = mark?.cluster, let mine = reset.cluster, other != mine {
                        // It was taken back meanwhile, and given to another one.
                        progress.send(
                            .warning("\(place.name) belongs to the cluster \(other) by now, and is left as it is"))
                        return nil
                    }
                    return try await reset.reset(connection.host, step: step)
                }
                if let words = HostBaseline.words(changes, on: place.name) { progress.send(.warning(words)) }
            }
        }
    }
}
