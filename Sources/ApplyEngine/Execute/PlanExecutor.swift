import Report

/// Executes a plan: whatever may run does, several at once; the first failure keeps new steps from starting and cancels
/// the running ones.
public struct PlanExecutor: Sendable {
    private let progress: any ProgressSink
    private let journal: any Journal
    private let concurrency: Int

    /// Makes an executor.
    ///
    /// - Parameter concurrency: how many steps may run at once.
    public init(progress: any ProgressSink, journal: any Journal, concurrency: Int = 32) {
        self.progress = progress
        self.journal = journal
        self.concurrency = concurrency
    }

    /// Executes.
    ///
    /// - Throws: `Failure` that names the step and the host, with the cause; steps that had not begun did not happen.
    public func execute(_ plan: Plan) async throws {
        var done: Set<PlanStep.ID> = []
        var waiting = plan.steps
        var running = 0
        var failures: [any Error] = []
        await withTaskGroup(of: (PlanStep, (any Error)?).self) { group in
            func startReady() {
                guard failures.isEmpty, !Task.isCancelled else { return }
                while running < concurrency,
                    let position = waiting.firstIndex(where: { $0.after.allSatisfy(done.contains) })
                {
                    let step = waiting.remove(at: position)
                    running += 1
                    group.addTask { (step, await run(step)) }
                }
            }
            startReady()
            for await (step, error) in group {
                running -= 1
                if let error {
                    // What was cancelled because another step failed is no failure of its own.
                    if failures.isEmpty || !(error is CancellationError) { failures.append(describe(step, error)) }
                    group.cancelAll()
                } else {
                    done.insert(step.id)
                }
                startReady()
            }
        }
        guard failures.isEmpty else { throw Failure.several("\(failures.count) steps failed", failures) }
        try Task.checkCancellation()
    }

    private func describe(_ step: PlanStep, _ error: any Error) -> any Error {
        guard !(error is CancellationError) else { return error }
        return Failure(
            (error as? Failure)?.kind ?? .software,
            "could not \(step.title)",
            at: step.host,
            causes: [error]
        )
    }

    private func run(_ step: PlanStep) async -> (any Error)? {
        do {
            try await journal.write(.began, step)
            try await progress.step(step.title, host: step.host) { handle in
                try await withLimit(step.limit, waitingFor: "the step to end: \(step.title)", at: step.host) {
                    try await step.action(handle)
                }
            }
            try await journal.write(.ended, step)
            return nil
        } catch {
            do {
                // In a task of its own: this one may be cancelled, and the failure must be recorded all the same.
                try await Task { try await journal.write(.failed(Failure.words(of: error)), step) }.value
                return error
            } catch let second {
                return Failure.several("a step and the journal failed", [error, second])
            }
        }
    }
}

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
