import ImageStore
import OCI
import Synchronization

/// An upload that may take several attempts: what was shown of it, and how far it ever was.
final class Upload: Sendable {
    private struct State {
        var shown: Int64 = 0
        var highest: Int64 = 0
        var seen: Int64 = 0
        var hasBegun = false
        var isChunked = false
        var isTakenUp = false
        /// The number of the body whose bytes count. That of an attempt that has ended may go on for a moment beside the next one.
        var body = 0
    }

    let reader: BlobReader
    private let progress: ByteProgress
    private let state = Mutex(State())

    init(_ reader: BlobReader, progress: @escaping ByteProgress) {
        self.reader = reader
        self.progress = progress
    }

    /// Whether something was sent, so that only the registry knows how far it is.
    var hasBegun: Bool {
        get { state.withLock { $0.hasBegun } }
        set { state.withLock { $0.hasBegun = newValue } }
    }

    /// Whether an earlier push began it, and nothing of it was found wrong yet.
    var isTakenUp: Bool { state.withLock { $0.isTakenUp } }

    /// Goes on with what an earlier push began.
    func takeUp() {
        state.withLock { state in
            state.isTakenUp = true
            state.hasBegun = true
        }
    }

    /// What an earlier push sent does not count any more.
    func beginAnew() {
        state.withLock { state in
            state.isTakenUp = false
            state.hasBegun = false
            state.highest = 0
            state.seen = 0
        }
        show(0)
    }

    /// Notes that so many bytes of an earlier push are there; they are nothing that this one got on by.
    func found(_ count: Int64) {
        state.withLock { state in
            guard state.isTakenUp else { return }
            state.highest = max(state.highest, count)
            state.seen = max(state.seen, count)
        }
    }

    /// A part as a body; what the network takes of it is shown.
    func slice(from offset: Int64, count: Int64) -> FileSlice {
        let body = state.withLock { state in
            state.isChunked = count < reader.blob.size
            state.body += 1
            return state.body
        }
        let meter = UploadMeter { [self] count in
            state.withLock { state in
                guard state.body == body else { return }
                state.shown += count
                progress(count)
            }
        }
        return FileSlice(reader: reader, offset: offset, length: count, meter: meter)
    }

    /// Whether the last request was a chunk, and none was taken before.
    var isFirstChunk: Bool { state.withLock { $0.isChunked && $0.highest == 0 } }

    /// Shows that the registry has so many bytes, whatever the network still takes of the last body.
    func show(_ count: Int64) {
        state.withLock { state in
            let difference = count - state.shown
            state.shown = count
            state.body += 1
            // Under the lock: who adds up what is told would pass the total for a moment when it came in another order.
            if difference != 0 { progress(difference) }
        }
    }

    /// Notes that the registry has taken so many bytes for good.
    func reached(_ count: Int64) { state.withLock { $0.highest = max($0.highest, count) } }

    /// Whether more was taken than at any failure before.
    func gotOn() -> Bool {
        state.withLock { state in
            defer { state.seen = state.highest }
            return state.highest > state.seen
        }
    }
}
