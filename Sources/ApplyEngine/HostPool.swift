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

    /// The connection to a host.
    func connection(_ name: String) async throws -> ConnectedHost {
        try await establish(name).value
    }

    /// Asks a host something. When its connection turns out to be lost, it is dropped, unless somebody has made a new one
    /// since.
    func ask<Answer: Sendable>(
        _ name: String, _ body: @Sendable (any Host) async throws -> Answer
    ) async throws -> Answer {
        let task = try await establish(name)
        do {
            return try await body(try await task.value.host)
        } catch let failure as Failure where failure.kind == .unreachable {
            if connections[name] == task { await drop(name) }
            throw failure
        }
    }

    /// Whether there is a connection, or one is being made.
    func isConnected(_ name: String) -> Bool { connections[name] != nil }

    /// Returns when the connection is there.
    private func establish(_ name: String) async throws -> Task<ConnectedHost, any Error> {
        if let known = connections[name] {
            _ = try await known.value
            return known
        }
        guard let transport = places[name]?.transport else {
            throw Failure(.notFound, "the host is not there", at: name)
        }
        let connector = connector
        let task = Task { try await connector.connect(name, over: transport) }
        connections[name] = task
        do {
            _ = try await withTaskCancellationHandler {
                try await task.value
            } onCancel: {
                task.cancel()
            }
            return task
        } catch {
            connections[name] = nil
            throw error
        }
    }

    /// Ends a connection that does not work any more; the next one who needs it gets a new one.
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
