import FoundationEssentials
import OCI

/// One line of a cluster's journal.
public struct JournalLine: Codable, Sendable, Hashable {
    /// What a line tells.
    public enum Event: String, Codable, Sendable {
        /// A command began to execute a plan.
        case opened
        /// A step is about to begin.
        case began
        /// A step ended, and what it did was seen to be done.
        case ended
        /// A step failed.
        case failed
        /// The command ended.
        case closed
    }

    /// When, in UTC with milliseconds.
    public var at: String
    /// What happened.
    public var event: Event
    /// The execution that the line belongs to: the same word in all of its lines.
    public var run: String
    /// The command, in the line that opens a run.
    public var command: String?
    /// The plan's digest, in the line that opens a run.
    public var plan: Digest?
    /// How many steps the plan has, in the line that opens a run; how many were done, in the one that closes it.
    public var steps: Int?
    /// The step.
    public var step: String?
    /// What the step does.
    public var title: String?
    /// The host it runs on.
    public var host: String?
    /// Why a step, or the run, failed.
    public var message: String?

    init(_ event: Event, run: String) {
        at = Date.now.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        self.event = event
        self.run = run
    }
}
