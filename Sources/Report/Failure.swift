/// What went wrong, where, and what to do about it: the one error that every room throws.
///
/// `what` names the thing and the event in plain words, `place` the file, host, image or URL it concerns, `remedy` the next
/// step. The `kind` decides the exit code of the command.
public struct Failure: Error, Sendable {
    /// The sort of failure, as far as a caller or a script may want to tell them apart.
    public enum Kind: String, Sendable, CaseIterable {
        /// A command on a host, a script or an application step ended with an error.
        case commandFailed
        /// The command line was wrong.
        case usage
        /// A file that the user gave (Kubefile, Clusterfile, manifest, chart) is wrong.
        case invalidInput
        /// A file, an image or a cluster does not exist.
        case notFound
        /// A host or a registry does not answer.
        case unreachable
        /// A service or a tool that is needed is not there (Docker, helm, systemd).
        case unavailable
        /// sealer itself is at fault.
        case software
        /// The operating system refused: permissions aside, this is mostly a full disk or a missing feature.
        case system
        /// What is there does not allow it: a name that exists or is in use, somebody else's work, a change that cannot be made.
        case conflict
        /// A wait ended at its limit.
        case timeout
        /// The other side broke its protocol, or bytes do not have the digest they should have.
        case integrity
        /// Credentials or permissions are missing.
        case denied
        /// The user interrupted.
        case cancelled

        /// The process exit code, after sysexits(3) where it has one.
        public var exitCode: Int32 {
            switch self {
            case .commandFailed: 1
            case .usage: 64
            case .invalidInput: 65
            case .notFound: 66
            case .unreachable: 68
            case .unavailable: 69
            case .software: 70
            case .system: 71
            case .conflict: 73
            case .timeout: 75
            case .integrity: 76
            case .denied: 77
            case .cancelled: 130
            }
        }
    }

    /// The sort of failure.
    public var kind: Kind
    /// What happened, one line, lower case, no full stop.
    public var what: String
    /// The file, host, image or URL concerned.
    public var place: String?
    /// What the user can do next.
    public var remedy: String?
    /// The errors underneath, most important first.
    public var causes: [any Error]

    /// Makes a failure.
    public init(
        _ kind: Kind,
        _ what: String,
        at place: String? = nil,
        remedy: String? = nil,
        causes: [any Error] = []
    ) {
        self.kind = kind
        self.what = what
        self.place = place
        self.remedy = remedy
        self.causes = causes
    }

    /// Joins the failures of independent pieces of work into one; a single failure stays as it is.
    ///
    /// - Parameter failures: at least one error; the first one's kind becomes the kind of the whole.
    public static func several(_ what: String, _ failures: [any Error]) -> any Error {
        if let only = failures.first, failures.count == 1 { return only }
        let kind = (failures.first as? Failure)?.kind ?? .software
        return Failure(kind, what, causes: failures)
    }

    /// What any error says to people; a cancelled task has no words of its own.
    public static func words(of error: any Error) -> String {
        error is CancellationError ? "interrupted" : String(describing: error)
    }
}

extension Failure: CustomStringConvertible {
    /// What a user reads: the event, the place, the causes one below the other, then the next step.
    public var description: String {
        var text = place.map { "\($0): \(what)" } ?? what
        for cause in causes {
            let lines = Self.words(of: cause).split(separator: "\n", omittingEmptySubsequences: false)
            for line in lines { text += "\n  \(line)" }
        }
        if let remedy { text += "\n  next: \(remedy)" }
        return text
    }
}
