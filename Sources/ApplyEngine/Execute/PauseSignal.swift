import Synchronization

/// Asks an execution to begin nothing new; what runs ends in its own time. Given once, it stays.
public final class PauseSignal: Sendable {
    private let flag = Atomic(false)

    /// Makes a signal that is not given yet.
    public init() {}

    /// Gives it.
    public func give() { flag.store(true, ordering: .relaxed) }

    /// Whether it was given.
    public var isGiven: Bool { flag.load(ordering: .relaxed) }
}
