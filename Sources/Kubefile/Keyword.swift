/// The first words of instructions.
enum Keyword: String, CaseIterable {
    case from = "FROM"
    case copy = "COPY"
    case arg = "ARG"
    case env = "ENV"
    case label = "LABEL"
    case cmd = "CMD"
    case cmds = "CMDS"
    case app = "APP"
    case launch = "LAUNCH"

    /// What the instruction takes, for messages.
    var form: String {
        switch self {
        case .from: "FROM IMAGE, or FROM scratch"
        case .copy: "COPY SOURCE… DESTINATION"
        case .arg: "ARG NAME, or ARG NAME=DEFAULT"
        case .env: "ENV NAME=VALUE…"
        case .label: "LABEL NAME=VALUE…"
        case .cmd: "CMD COMMAND"
        case .cmds: "CMDS [\"COMMAND\", …]"
        case .app: "APP NAME local://PATH…"
        case .launch: "LAUNCH [\"APP\", …]"
        }
    }

    /// What other tools of the field know and this one does not support yet.
    static let unsupported: Set<String> = [
        "RUN", "ADD", "APPCMDS", "APPENV", "CNI", "CSI", "KUBEVERSION", "MAINTAINER", "WORKDIR", "USER", "VOLUME",
        "EXPOSE", "ENTRYPOINT", "HEALTHCHECK", "ONBUILD", "SHELL", "STOPSIGNAL",
    ]

    /// The keyword that was probably meant.
    static func nearest(to word: String) -> String? {
        guard word.count <= 20 else { return nil }
        let known = allCases.map(\.rawValue) + unsupported.sorted()
        let candidates = known.map { (name: $0, distance: editDistance($0, word)) }
        // Short words are near to everything: half of the letters must be right.
        return candidates.filter { $0.distance <= 2 && $0.distance * 2 <= max($0.name.count, word.count) }
            .min { $0.distance < $1.distance }?.name
    }

    /// How many letters must be put in, taken out, replaced or swapped with their neighbour.
    static func editDistance(_ left: String, _ right: String) -> Int {
        let (first, second) = (Array(left), Array(right))
        var rows = [Array(0...second.count)]
        for row in 1..<(first.count + 1) {
            var line = [row]
            for column in 1..<(second.count + 1) {
                let cost = first[row - 1] == second[column - 1] ? 0 : 1
                var best = min(line[column - 1] + 1, rows[row - 1][column] + 1, rows[row - 1][column - 1] + cost)
                if row > 1, column > 1, first[row - 1] == second[column - 2], first[row - 2] == second[column - 1] {
                    best = min(best, rows[row - 2][column - 2] + 1)
                }
                line.append(best)
            }
            rows.append(line)
        }
        return rows[first.count][second.count]
    }
}
