import Report

extension Plugin {
    /// What a line of a `LABEL`, `TAINT` or `HOSTNAME` plugin says of one host.
    public struct Assignment: Hashable, Sendable {
        /// The host.
        public var host: IPAddress
        /// What becomes of it.
        public var change: Change
        /// The line of the data, from 1.
        public var line: Int

        /// Makes an assignment.
        public init(host: IPAddress, change: Change, line: Int) {
            self.host = host
            self.change = change
            self.line = line
        }
    }

    /// What a line of data changes.
    public enum Change: Hashable, Sendable {
        /// Labels that are set: `k=v,k2=v2`.
        case labels([String: String])
        /// Taints that are set, `key=value:Effect`, and those that are taken away, with `-` at their end.
        case taints(set: [Taint], removed: [RemovedTaint])
        /// The host name.
        case hostname(String)
    }

    /// A taint that is taken away: `key-`, `key:Effect-` or `key=value:Effect-`, whose value makes no difference.
    public struct RemovedTaint: Hashable, Sendable {
        /// The key.
        public var key: String
        /// The effect; nil for every one.
        public var effect: Taint.Effect?

        /// Names a taint.
        public init(key: String, effect: Taint.Effect?) {
            self.key = key
            self.effect = effect
        }
    }

    /// A mistake in the data, at a place within it.
    struct DataMistake {
        var line: Int
        var column: Int
        var message: String
    }

    /// The lines of a `LABEL`, `TAINT` or `HOSTNAME` plugin; nothing for `SHELL`.
    ///
    /// - Throws: `Failure` of kind `invalidInput` that names all mistakes.
    public func assignments() throws(Failure) -> [Assignment] {
        let (assignments, mistakes) = readAssignments()
        guard mistakes.isEmpty else {
            let all = mistakes.map { "line \($0.line): \($0.message)" }.joined(separator: "; ")
            throw Failure(.invalidInput, all, at: "plugin \(name)")
        }
        return assignments
    }

    /// Reads `ADDRESS WHAT` line by line; empty lines and lines with # in front are passed over.
    func readAssignments() -> (assignments: [Assignment], mistakes: [DataMistake]) {
        guard kind != .shell else { return ([], []) }
        var assignments: [Assignment] = []
        var mistakes: [DataMistake] = []
        var hostnames: [String: Int] = [:]
        let lines = data.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        for (index, line) in lines.enumerated() {
            let words = Self.words(line)
            guard let first = words.first, !first.text.hasPrefix("#") else { continue }
            func report(_ column: Int, _ message: String) {
                mistakes.append(DataMistake(line: index + 1, column: column, message: message))
            }
            guard let host = IPAddress(first.text) else {
                report(first.column, "\"\(first.text.prefix(60))\" is not an address, \(expectation) was expected")
                continue
            }
            guard words.count == 2 else {
                let column = words.count > 2 ? words[2].column : first.column
                report(column, "\(words.count - 1) words stand behind the address, \(expectation) was expected")
                continue
            }
            do throws(Failure) {
                let change = try change(words[1].text)
                if case .hostname(let name) = change, let earlier = hostnames.updateValue(index + 1, forKey: name) {
                    report(words[1].column, "the name \(name) stands twice, first in line \(earlier) of the data")
                }
                assignments.append(Assignment(host: host, change: change, line: index + 1))
            } catch {
                report(words[1].column, error.what)
            }
        }
        return (assignments, mistakes)
    }

    private var expectation: String {
        switch kind {
        case .shell: "a script"
        case .label: "ADDRESS KEY=VALUE,KEY=VALUE"
        case .taint: "ADDRESS KEY=VALUE:EFFECT, with - at its end to take the taint away,"
        case .hostname: "ADDRESS NAME"
        }
    }

    private static func words(_ line: Substring) -> [(text: String, column: Int)] {
        var words: [(text: String, column: Int)] = []
        var isInside = false
        for (index, scalar) in line.unicodeScalars.enumerated() {
            let isBlank = scalar == " " || scalar == "\t"
            if isBlank {
                isInside = false
            } else if isInside {
                words[words.count - 1].text.unicodeScalars.append(scalar)
            } else {
                isInside = true
                words.append((String(Character(scalar)), index + 1))
            }
        }
        return words
    }

    private func change(_ text: String) throws(Failure) -> Change {
        switch kind {
        case .shell, .label: return .labels(try Self.labels(text))
        case .taint: return try Self.taints(text)
        case .hostname:
            guard Spelling.isLowerHostName(text), text.utf8.count <= 63 else {
                throw Failure(.invalidInput, Cluster.nodeNameProblem(text))
            }
            return .hostname(text)
        }
    }

    private static func labels(_ text: String) throws(Failure) -> [String: String] {
        var labels: [String: String] = [:]
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard pair.count == 2 else {
                throw Failure(.invalidInput, "\"\(part.prefix(60))\" has no =, KEY=VALUE was expected")
            }
            if let problem = Cluster.labelProblem(pair[0], pair[1]) { throw Failure(.invalidInput, problem) }
            guard labels.updateValue(pair[1], forKey: pair[0]) == nil else {
                throw Failure(.invalidInput, "the label \(pair[0]) stands twice")
            }
        }
        return labels
    }

    private static func taints(_ text: String) throws(Failure) -> Change {
        var set: [Taint] = []
        var removed: [RemovedTaint] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
            guard part.hasSuffix("-") else {
                set.append(try Taint(part))
                continue
            }
            let rest = String(part.dropLast())
            if rest.contains(":") {
                let taint = try Taint(rest)
                removed.append(RemovedTaint(key: taint.key, effect: taint.effect))
            } else if Spelling.isKey(rest) {
                removed.append(RemovedTaint(key: rest, effect: nil))
            } else {
                throw Failure(.invalidInput, "the taint's key \(Cluster.keyProblem(rest))")
            }
        }
        return .taints(set: set, removed: removed)
    }
}
