import Infra
import Remote
import Report

/// How the engine gets to a host's agent; the tool wires it, tests may put something else there.
public protocol HostConnector: Sendable {
    /// Brings the agent to the host, starts it, and returns the way to it with the path of its binary over there.
    func connect(_ host: String, over transport: any Transport) async throws -> ConnectedHost
}

/// A host whose agent answers.
public struct ConnectedHost: Sendable {
    /// The way to it.
    public var host: any Host
    /// Where sealer's executable lies on it.
    public var executable: String

    /// Makes one.
    public init(host: any Host, executable: String) {
        self.host = host
        self.executable = executable
    }
}

/// The connections to the hosts of a cluster: each is made when it is needed, kept, and made anew when it was lost.
actor HostPool {
    private let connector: any HostConnector
    private var places: [String: HostPlace] = [:]
    private var connections: [String: Task<ConnectedHost, any Error>] = [:]

    init(_ connector: any HostConnector) {
        self.connector = connector
    }

    /// Tells where hosts are. Those that are not named any more are forgotten only at the end.
    func set(_ places: [HostPlace]) {
        for place in places { self.places[place.name] = place }
    }

    /// The connection to a host. One that was lost is made anew.
    func connection(_ name: String) async throws -> ConnectedHost {
        while let known = connections[name] {
            let connected = try await known.value
            guard connected.host.isLost else { return connected }
            // Unless somebody has made a new one meanwhile.
            if connections[name] == known { await drop(name) }
        }
        guard let transport = places[name]?.transport else {
            throw Failure(.notFound, "the host is not there", at: name)
        }
        let connector = connector
        let task = Task { try await connector.connect(name, over: transport) }
        connections[name] = task
        do {
            return try await withTaskCancellationHandler {
                try await task.value
            } onCancel: {
                task.cancel()
            }
        } catch {
            if connections[name] == task { connections[name] = nil }
            throw error
        }
    }

    /// Does what bears to be repeated. When the connection breaks meanwhile it is done again over a new one, twice at most; a host
    /// to which there is no new one is out of reach.
    nonisolated func withConnection<Result: Sendable>(
        _ name: String, _ body: (ConnectedHost) async throws -> Result
    ) async throws -> Result {
        for _ in 0..<2 {
            let connected = try await connection(name)
            do {
                return try await body(connected)
            } catch let failure as Failure where failure.kind == .unreachable && connected.host.isLost {
                continue
            }
        }
        return try await body(try await connection(name))
    }

    /// Whether there is a connection that works, or one is being made.
    func isConnected(_ name: String) async -> Bool {
        guard let task = connections[name] else { return false }
        guard case .success(let connected) = await task.result else { return false }
        return !connected.host.isLost
    }

    /// Ends a connection; the next one who needs it gets a new one.
    func drop(_ name: String) async {
        guard let task = connections.removeValue(forKey: name) else { return }
        await Self.close(task)
    }

    /// Ends all connections.
    func close() async {
        let tasks = connections.values
        connections = [:]
        await withTaskGroup(of: Void.self) { group in
            for task in tasks { group.addTask { await Self.close(task) } }
        }
        for place in places.values {
            // A connection that cannot be ended ends by itself when nothing uses it.
            do { try await place.transport?.close() } catch { continue }
        }
    }

    private static func close(_ task: Task<ConnectedHost, any Error>) async {
        // One that was never made has nothing to close.
        guard case .success(let connection) = await task.result else { return }
        await connection.host.close()
    }
}
