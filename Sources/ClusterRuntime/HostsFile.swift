/// The block of lines that sealer keeps in a node's /etc/hosts; the rest of the file is left as it is.
struct HostsFile {
    private static let begin = "# begin: names of the sealer cluster"
    private static let end = "# end: names of the sealer cluster"

    /// The file's text with the block set to the given entries; without entries the block goes.
    static func text(_ old: String, with entries: [(address: String, names: [String])]) -> String {
        var kept: [Substring] = []
        var isInside = false
        for line in old.split(separator: "\n", omittingEmptySubsequences: false) {
            if line == begin { isInside = true }
            if !isInside { kept.append(line) }
            if line == end { isInside = false }
        }
        while kept.last?.isEmpty == true { kept.removeLast() }
        var text = kept.joined(separator: "\n")
        if !text.isEmpty { text += "\n" }
        guard !entries.isEmpty else { return text }
        let lines = entries.map { "\($0.address)\t\($0.names.joined(separator: " "))" }
        return text + ([begin] + lines + [end]).joined(separator: "\n") + "\n"
    }
}
