import Report

/// A taint of a Kubernetes node: `key=value:Effect`, or `key:Effect`.
public struct Taint: Hashable, Sendable, CustomStringConvertible {
    /// What a taint does to pods that do not tolerate it.
    public enum Effect: String, Hashable, Sendable, CaseIterable {
        /// No such pod is sent there.
        case noSchedule = "NoSchedule"
        /// Such pods are sent elsewhere if there is a place.
        case preferNoSchedule = "PreferNoSchedule"
        /// No such pod is sent there, and those that run there are ended.
        case noExecute = "NoExecute"
    }

    /// The key, with a DNS name and `/` before it or without.
    public var key: String
    /// The value, which may be empty.
    public var value: String
    /// What it does.
    public var effect: Effect

    /// Makes a taint; `Cluster.problems` tells whether its key and value can be.
    public init(key: String, value: String = "", effect: Effect) {
        self.key = key
        self.value = value
        self.effect = effect
    }

    /// Reads `key=value:Effect` or `key:Effect`.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    public init(_ text: String) throws(Failure) {
        let shown = text.prefix(100).filter { !$0.isNewline }
        guard let colon = text.lastIndex(of: ":") else {
            throw Failure(.invalidInput, "\"\(shown)\" is not a taint, one as key=value:NoSchedule was expected")
        }
        let name = String(text[text.index(after: colon)...])
        let known = Effect.allCases.map(\.rawValue)
        guard let effect = Effect(rawValue: name) else {
            let hint = NearName.hint(for: name, of: known)
            throw Failure(
                .invalidInput,
                "the taint \"\(shown)\" has no known effect, one of \(known.joined(separator: ", ")) was"
                    + " expected\(hint)"
            )
        }
        let parts = text[..<colon].split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        self.init(key: parts.first ?? "", value: parts.count > 1 ? parts[1] : "", effect: effect)
        if let problem { throw Failure(.invalidInput, problem) }
    }

    /// What is wrong with key or value.
    var problem: String? {
        if !Spelling.isKey(key) { return "the taint's key \(Cluster.keyProblem(key))" }
        if !Spelling.isValue(value) { return "the taint's value \(Cluster.valueProblem(value))" }
        return nil
    }

    /// `key=value:Effect`, or `key:Effect` when the value is empty.
    public var description: String {
        value.isEmpty ? "\(key):\(effect.rawValue)" : "\(key)=\(value):\(effect.rawValue)"
    }
}
