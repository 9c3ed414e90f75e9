/// Finds what was probably meant by a word that is none of those known.
enum NearName {
    /// The nearest of the words, when one is near.
    ///
    /// - Parameter lettersPerSlip: how many letters a word must have for each one that is wrong: more where the word may well be
    ///   another one.
    static func nearest(to word: String, of known: [String], lettersPerSlip: Int = 2) -> String? {
        guard (1...40).contains(word.count) else { return nil }
        let lower = word.lowercased()
        // Short words are near to everything: half of the letters must be right, or more.
        return known.map { (name: $0, distance: distance($0.lowercased(), lower)) }
            .filter { $0.distance <= 2 && $0.distance * lettersPerSlip <= max($0.name.count, word.count) }
            .min { $0.distance < $1.distance }?.name
    }

    /// `, did you mean X?`, or nothing.
    static func hint(for word: String, of known: [String]) -> String {
        nearest(to: word, of: known).map { ", did you mean \($0)?" } ?? ""
    }

    /// How many letters must be put in, taken out, replaced or swapped with their neighbour.
    private static func distance(_ left: String, _ right: String) -> Int {
        let (first, second) = (Array(left), Array(right))
        var before: [Int] = []
        var last = Array(0...second.count)
        for (row, letter) in first.enumerated() {
            var line = [row + 1]
            for (column, other) in second.enumerated() {
                var best = min(line[column] + 1, last[column + 1] + 1, last[column] + (letter == other ? 0 : 1))
                if row > 0, column > 0, letter == second[column - 1], first[row - 1] == other {
                    best = min(best, before[column - 1] + 1)
                }
                line.append(best)
            }
            (before, last) = (last, line)
        }
        return last[second.count]
    }
}
