/// Where steps are recorded before and after they run.
public protocol Journal: Sendable {
    /// Records what happened to a step, durably.
    func write(_ event: JournalEvent, _ step: PlanStep) async throws
}

/// What may happen to a step.
public enum JournalEvent: Sendable {
    /// It is about to begin.
    case began
    /// It ended, and what it did was seen to be done.
    case ended
    /// It failed; the message says why.
    case failed(String)
}
