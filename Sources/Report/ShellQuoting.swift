/// A word in a form that a POSIX shell reads back as exactly this word, whatever it holds: blanks, quotes, `$`, line ends, nothing
/// at all. Everything that a shell on a host gets to see goes through here.
///
/// Words without line ends, backslashes and `!` mean the same to fish and csh. No shell can be given a zero byte.
public func shellQuoted(_ word: String) -> String {
    let isPlain = word.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        // Not `~` and `=`: both mean something at the beginning of a word to some shell.
        default: "-_./:@%+,".utf8.contains(byte)
        }
    }
    if isPlain, !word.isEmpty { return word }
    // By scalars: a combining character behind a quote would make another Character of it.
    var text = "'"
    for scalar in word.unicodeScalars {
        if scalar == "'" { text += "'\"'\"'" } else { text.unicodeScalars.append(scalar) }
    }
    return text + "'"
}

/// Words as one command line, each quoted.
public func shellQuoted(_ words: [String]) -> String {
    words.map { shellQuoted($0) }.joined(separator: " ")
}
