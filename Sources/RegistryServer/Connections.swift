import NIOCore
import Synchronization

/// The connections that are open, to end them in an orderly way.
final class Connections: Sendable {
    private struct Open {
        var channel: any Channel
        var isBusy: Bool
        var since: ContinuousClock.Instant
    }

    private struct State {
        var open: [ObjectIdentifier: Open] = [:]
        var isStopping = false
    }

    private let state = Mutex(State())

    func add(_ channel: any Channel) {
        state.withLock { $0.open[ObjectIdentifier(channel)] = Open(channel: channel, isBusy: false, since: .now) }
    }

    func remove(_ channel: any Channel) {
        state.withLock { $0.open[ObjectIdentifier(channel)] = nil }
    }

    /// The connection answers a request from now on, or waits for the next one.
    ///
    /// - Returns: false when the server stops and no further request is to be read.
    func mark(_ channel: any Channel, isBusy: Bool) -> Bool {
        state.withLock { state in
            state.open[ObjectIdentifier(channel)]?.isBusy = isBusy
            state.open[ObjectIdentifier(channel)]?.since = .now
            return !state.isStopping || isBusy
        }
    }

    /// How many are open.
    var count: Int { state.withLock { $0.open.count } }

    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Ends the connection that has waited longest for a request, so that another client gets its turn.
    func closeLongestIdle() {
        let idle = state.withLock { state in
            state.open.values.filter { !$0.isBusy }.min { $0.since < $1.since }?.channel
        }
        idle?.close(promise: nil)
    }

    /// Ends the connections that wait for a request; the others end with their reply.
    func beginToStop() {
        let idle = state.withLock { state in
            state.isStopping = true
            return state.open.values.filter { !$0.isBusy }.map(\.channel)
        }
        for channel in idle { channel.close(promise: nil) }
    }

    /// Ends all.
    func closeAll() {
        let channels = state.withLock { $0.open.values.map(\.channel) }
        for channel in channels { channel.close(promise: nil) }
    }
}
