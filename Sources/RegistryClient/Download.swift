import ImageStore
import Synchronization

/// A download that may take several attempts: what was shown of it, and how far it ever was.
final class Download: Sendable {
    private struct State {
        var shown: Int64 = 0
        var highest: Int64
        var isMixed = false
        var isOfOnePlace = false
        var place: Endpoint?
    }

    let blob: PartialBlob
    private let progress: ByteProgress
    private let state: Mutex<State>

    init(_ blob: PartialBlob, progress: @escaping ByteProgress) {
        self.blob = blob
        self.progress = progress
        state = Mutex(State(highest: blob.count))
    }

    /// Shows that there are so many bytes now.
    func show(_ count: Int64) {
        let difference = state.withLock { state in
            defer { state.shown = count }
            return count - state.shown
        }
        if difference != 0 { progress(difference) }
    }

    /// Shows that more bytes came.
    func add(_ count: Int64) {
        state.withLock { $0.shown += count }
        progress(count)
    }

    /// Whether there is so much more than ever before.
    func gotOn(by minimum: Int64) -> Bool {
        let count = blob.count
        return state.withLock { state in
            guard count - state.highest >= max(minimum, 1) else { return false }
            state.highest = count
            return true
        }
    }

    /// Whether bytes of one place must not be gone on with at another one.
    var isOfOnePlace: Bool {
        get { state.withLock { $0.isOfOnePlace } }
        set { state.withLock { $0.isOfOnePlace = newValue } }
    }

    /// Whether the bytes that are there are of another place, and that matters.
    func isNew(_ endpoint: Endpoint) -> Bool {
        state.withLock { state in
            defer { state.place = endpoint }
            return state.isOfOnePlace && state.place != endpoint
        }
    }

    func noteMixed() { state.withLock { $0.isMixed = true } }

    /// Whether bytes of several replies did not fit together; asking takes the note away.
    var wasMixed: Bool {
        state.withLock { state in
            defer { state.isMixed = false }
            return state.isMixed
        }
    }
}
