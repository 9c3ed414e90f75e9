import Glibc
import Testing

/// Runs a shell command; gives its exit status and output.
func shell(_ command: String) throws -> (status: Int32, output: String) {
    let pipe = try #require(popen("exec 2>&1; \(command)", "r"))
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = fread(&buffer, 1, buffer.count, pipe)
        guard count > 0 else { break }
        output += buffer[..<count]
    }
    let status = pclose(pipe)
    return ((status >> 8) & 0xff, String(decoding: output, as: UTF8.self))
}
