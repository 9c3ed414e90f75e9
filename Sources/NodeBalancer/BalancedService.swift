import NIOCore
import NIOPosix
import Report
import Synchronization

/// A service at work: its backends, what is known of them, and the connections that lead to them.
final class BalancedService: Sendable {
    /// What the configuration says of it.
    struct Settings: Hashable, Sendable {
        var service: BalancerConfiguration.Service
        var intervals: BalancerConfiguration.Intervals
        var limits: BalancerConfiguration.Limits
    }

    private struct Backend {
        let endpoint: BalancerEndpoint
        var health = BackendHealth()
        var connections = 0
        var lastError: String?
    }

    private struct Client {
        let channel: any Channel
        var backend: BalancerEndpoint?
    }

    private struct State {
        var settings: Settings
        var backends: [Backend]
        var clients: [UInt64: Client] = [:]
        var lastClient: UInt64 = 0
        var turn = 0
        var refused = 0
        var isFull = false
        /// Whether the last client found no backend.
        var isForsaken = false

        func position(_ endpoint: BalancerEndpoint) -> Int? { backends.firstIndex { $0.endpoint == endpoint } }
    }

    let name: String
    private let state: Mutex<State>
    /// How many clients all services have together.
    private let total: ConnectionCount
    private let log: @Sendable (String) -> Void

    init(_ settings: Settings, total: ConnectionCount, log: @escaping @Sendable (String) -> Void) {
        name = settings.service.name
        state = Mutex(State(settings: settings, backends: settings.service.backends.map { Backend(endpoint: $0) }))
        self.total = total
        self.log = log
    }

    var settings: Settings { state.withLock(\.settings) }

    /// Takes new settings over: backends that stay keep their health and their connections, those that are gone lose
    /// theirs.
    func update(_ settings: Settings) {
        let removed = state.withLock { state in
            state.settings = settings
            let removed = state.backends.filter { !settings.service.backends.contains($0.endpoint) }
            let old = state.backends
            state.backends = settings.service.backends.map { endpoint in
                old.first { $0.endpoint == endpoint } ?? Backend(endpoint: endpoint)
            }
            return removed.map(\.endpoint)
        }
        for endpoint in removed {
            log("\(name): backend \(endpoint) was taken out, \(counted(cutConnections(to: endpoint))) closed")
        }
    }

    // MARK: - Connections

    /// Serves a client that has just connected: finds it a backend and joins the two. On the client's event loop.
    func serve(_ end: RelayEnd, _ client: any Channel) {
        guard let identifier = admit(client) else {
            end.cut()
            return
        }
        let candidates = candidates()
        connect(end, client, identifier, candidates[...])
    }

    private func connect(
        _ end: RelayEnd, _ client: any Channel, _ identifier: UInt64, _ candidates: ArraySlice<BalancerEndpoint>
    ) {
        guard !end.isGone else { return }
        guard let endpoint = candidates.first else {
            let isNews = state.withLock { state in
                defer { state.isForsaken = true }
                return !state.isForsaken
            }
            if isNews { log("\(name): no backend takes a connection") }
            end.cut()
            return
        }
        let far = RelayEnd()
        let bound = NIOLoopBound(far, eventLoop: client.eventLoop)
        let timeout = settings.intervals.connect
        ClientBootstrap(group: client.eventLoop)
            .connectTimeout(TimeAmount(timeout))
            .channelOption(ChannelOptions.allowRemoteHalfClosure, value: true)
            .balancerSocketOptions()
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(bound.value)
                }
            }
            .connect(to: endpoint.address)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let upstream):
                    guard !end.isGone else {
                        far.cut()
                        return
                    }
                    guard self.establish(identifier, endpoint, upstream) else {
                        // The backend was taken out meanwhile.
                        far.cut()
                        self.connect(end, client, identifier, candidates.dropFirst())
                        return
                    }
                    end.attach(far)
                case .failure(let error):
                    self.noteFailure(endpoint, error)
                    self.connect(end, client, identifier, candidates.dropFirst())
                }
            }
    }

    /// Registers a client, if there are not too many.
    private func admit(_ channel: any Channel) -> UInt64? {
        let (identifier, isNews) = state.withLock { state -> (UInt64?, Bool) in
            guard total.increment(upTo: state.settings.limits.connections) else {
                let isNews = !state.isFull
                state.refused += 1
                state.isFull = true
                return (nil, isNews)
            }
            state.isFull = false
            state.lastClient += 1
            state.clients[state.lastClient] = Client(channel: channel)
            return (state.lastClient, false)
        }
        if isNews { log("\(name): \(settings.limits.connections) clients are connected, further ones are refused") }
        guard let identifier else { return nil }
        channel.closeFuture.whenComplete { _ in
            self.state.withLock { $0.clients[identifier] = nil }
            self.total.decrement()
        }
        return identifier
    }

    private func candidates() -> [BalancerEndpoint] {
        state.withLock { state in
            state.turn = (state.turn + 1) % 1_000_000
            let order = BackendOrder.positions(
                ranks: state.backends.map(\.health.rank), connections: state.backends.map(\.connections),
                turn: state.turn)
            return order.map { state.backends[$0].endpoint }
        }
    }

    private func establish(_ identifier: UInt64, _ endpoint: BalancerEndpoint, _ upstream: any Channel) -> Bool {
        let isThere = state.withLock { state in
            guard let position = state.position(endpoint) else { return false }
            state.backends[position].connections += 1
            state.backends[position].health.noteConnection(succeeded: true)
            state.clients[identifier]?.backend = endpoint
            state.isForsaken = false
            return true
        }
        guard isThere else { return false }
        upstream.closeFuture.whenComplete { _ in
            self.state.withLock { state in
                // A backend that was taken out and put back meanwhile counts anew.
                guard let position = state.position(endpoint), state.backends[position].connections > 0 else { return }
                state.backends[position].connections -= 1
            }
        }
        return true
    }

    private func noteFailure(_ endpoint: BalancerEndpoint, _ error: any Error) {
        state.withLock { state in
            guard let position = state.position(endpoint) else { return }
            state.backends[position].health.noteConnection(succeeded: false)
            state.backends[position].lastError = "connect: \(words(of: error))"
        }
    }

    private func cutConnections(to endpoint: BalancerEndpoint) -> Int {
        let channels = state.withLock { $0.clients.values.filter { $0.backend == endpoint }.map(\.channel) }
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(RelayEvent.cut) }
        return channels.count
    }

    /// How many clients are connected.
    var connections: Int { state.withLock { $0.clients.count } }

    /// Cuts all connections.
    func cutAll() {
        let channels = state.withLock { $0.clients.values.map(\.channel) }
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(RelayEvent.cut) }
    }

    private func counted(_ connections: Int) -> String {
        connections == 1 ? "1 connection" : "\(connections) connections"
    }

    // MARK: - Health

    /// Records a check. Connections to a backend that has just gone down are closed, so that clients which keep one open
    /// come again and get to a backend that lives.
    ///
    /// - Parameter trouble: why the check failed; nil when it did not.
    func record(_ endpoint: BalancerEndpoint, trouble: String?) {
        let news = state.withLock { state -> BackendHealth.State? in
            guard let position = state.position(endpoint) else { return nil }
            state.backends[position].lastError = trouble
            return state.backends[position].health.record(isWell: trouble == nil, limits: state.settings.limits)
        }
        switch news {
        case .down:
            let closed = counted(cutConnections(to: endpoint))
            log("\(name): backend \(endpoint) is down (\(trouble ?? "")), \(closed) closed")
        case .up: log("\(name): backend \(endpoint) is up")
        case .unknown, nil: break
        }
    }

    func status(trouble: String?) -> BalancerStatus.Service {
        state.withLock { state in
            BalancerStatus.Service(
                name: name, listen: state.settings.service.listen.description, trouble: trouble,
                connections: state.clients.count, refused: state.refused,
                backends: state.backends.map {
                    .init(
                        address: $0.endpoint.description, state: $0.health.state, connections: $0.connections,
                        lastError: $0.lastError)
                }
            )
        }
    }
}
