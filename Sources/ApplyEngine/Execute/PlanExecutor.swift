import Report

/// Does what a step says; whoever knows hosts and the cluster's blueprint.
public protocol StepPerformer: Sendable {
    /// Does it, and returns only when it was seen to be done. Doing again what was done already must do no harm.
    func perform(_ step: PlanStep, handle: Step) async throws

    /// How long a step may take, in seconds: what the plan says, unless the command has another limit.
    func limit(of step: PlanStep) -> Int
}

extension StepPerformer {
    /// What the plan says.
    public func limit(of step: PlanStep) -> Int { step.limit }
}

/// Executes a plan: whatever may run does, several at once. A step that fails stops what depends on it, not the rest.
public struct PlanExecutor: Sendable {
    private let performer: any StepPerformer
    private let progress: any ProgressSink
    private let journal: any Journal
    private let concurrency: Int
    private let pause: PauseSignal

    /// The most steps at once where nobody says otherwise.
    public static let defaultConcurrency = 32

    /// Makes an executor.
    ///
    /// - Parameters:
    ///   - concurrency: how many steps may run at once.
    ///   - pause: when it is given, no new step begins, and the running ones end in their own time.
    public init(
        performer: any StepPerformer, progress: any ProgressSink, journal: any Journal,
        concurrency: Int = defaultConcurrency, pause: PauseSignal = PauseSignal()
    ) {
        self.performer = performer
        self.progress = progress
        self.journal = journal
        self.concurrency = max(concurrency, 1)
        self.pause = pause
    }

    /// How an execution ended.
    public struct Outcome: Sendable {
        /// The steps that were done, in the order of their ends.
        public var done: [PlanStep.ID] = []
        /// The steps that failed, with their causes, in the order of their ends.
        public var failed: [(step: PlanStep, error: any Error)] = []
        /// The steps that did not begin: because of a failure before them, or because of a pause.
        public var skipped: [PlanStep] = []
        /// Whether it ended early because it was asked to.
        public var isPaused = false

        /// The hosts that were taken back to what they were, with all that belongs to it.
        func takenBack(of plan: Plan) -> Set<String> {
            let done = Set(done)
            let left = Set(plan.steps.filter { !done.contains($0.id) }.compactMap(\.host))
            return Set(plan.steps.filter { $0.action == .reset }.compactMap(\.host)).subtracting(left)
        }

        /// What to tell of it; nil when all was done.
        ///
        /// - Parameter resume: the command that goes on from here.
        public func failure(resume: String) -> (any Error)? {
            let remedy = "mend that, then go on from here with: \(resume)"
            let failures = failed.map { step, error -> any Error in
                Failure(
                    (error as? Failure)?.kind ?? (error is CancellationError ? .cancelled : .software),
                    "could not \(step.title)", at: step.host, causes: [error])
            }
            let rest = skipped.isEmpty ? "" : ", \(skipped.count) more could not begin"
            if failed.contains(where: { !($0.error is CancellationError) }) {
                return Failure(
                    (failures.first as? Failure)?.kind ?? .software,
                    "\(failed.count) of \(done.count + failed.count + skipped.count) steps failed\(rest)",
                    remedy: remedy,
                    causes: failures)
            }
            if isPaused || !failed.isEmpty {
                return Failure(
                    .cancelled,
                    "interrupted: \(done.count) steps were done, \(failed.count + skipped.count) are left",
                    remedy: "go on from here with: \(resume)", causes: failures)
            }
            return nil
        }
    }

    /// Executes. When the task is cancelled, running steps are cancelled too and count as failed.
    public func execute(_ plan: Plan) async -> Outcome {
        var outcome = Outcome()
        var schedule = Schedule(plan)
        var running = 0
        await withTaskGroup(of: (Int, PlanStep, (any Error)?).self) { group in
            func startReady() {
                while running < concurrency, !Task.isCancelled, !pause.isGiven, let (number, step) = schedule.next() {
                    running += 1
                    group.addTask { (number, step, await run(step)) }
                }
            }
            startReady()
            for await (number, step, error) in group {
                running -= 1
                if let error {
                    outcome.failed.append((step, error))
                    schedule.fail(number)
                } else {
                    outcome.done.append(step.id)
                    schedule.finish(number)
                }
                startReady()
            }
        }
        outcome.isPaused = !schedule.waiting.isEmpty
        outcome.skipped = schedule.skipped + schedule.waiting
        return outcome
    }

    private func run(_ step: PlanStep) async -> (any Error)? {
        do {
            try await Failpoint.reach("plan \(step.id)")
            try await journal.write(.began, step)
            try await Failpoint.reach("begin \(step.id)")
            try await progress.step(step.title, host: step.host) { handle in
                try await withLimit(
                    .seconds(performer.limit(of: step)), waitingFor: "the step to end: \(step.title)", at: step.host
                ) {
                    try await performer.perform(step, handle: handle)
                }
            }
            try await Failpoint.reach("end \(step.id)")
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
