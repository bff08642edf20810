{-# LANGUAGE OverloadedStrings #-}
-- Lines of the standard input are sent, messages are printed.
module Main (main) where

import Control.Concurrent (forkIO)
import Control.Exception (SomeException, catch)
import qualified Data.ByteString.Char8 as B
import qualified Data.ByteString.Lazy.Char8 as L
import Data.CaseInsensitive (mk)
import Network.WebSockets
import System.Environment (getEnv, lookupEnv)
import System.Exit (exitSuccess)
import System.IO

main :: IO ()
main = do
  hSetBuffering stdout LineBuffering
  url <- drop 5 <$> getEnv "WS_URL"
  bearer <- maybe "" id <$> lookupEnv "WS_BEARER"
  protocols <- maybe "" id <$> lookupEnv "WS_PROTOCOLS"
  compress <- lookupEnv "WS_COMPRESS"
  let (place, path) = break (== '/') url
      (host, port) = break (== ':') place
      options = defaultConnectionOptions {connectionCompressionOptions = if compress == Just "1" then PermessageDeflateCompression defaultPermessageDeflate else NoCompression}
      headers =
        [(mk "Authorization", B.pack ("Bearer " ++ bearer)) | not (null bearer)]
          ++ [(mk "Sec-WebSocket-Protocol", B.pack protocols) | not (null protocols)]
  runClientWith host (read (drop 1 port)) path options headers talk `catch` \e -> B.putStrLn (B.pack ("error " ++ oneLine (show (e :: SomeException))))

oneLine :: String -> String
oneLine = map (\c -> if c == '\n' then ' ' else c)

talk :: Connection -> IO ()
talk connection = do
  B.putStrLn "open "
  _ <- forkIO send
  receive `catch` ended
  where
    send = do
      done <- isEOF
      if done then sendClose connection L.empty else B.getLine >>= sendTextData connection >> send
    receive = do
      message <- receiveData connection
      B.putStrLn (B.append "text " message)
      receive
    ended (CloseRequest code reason) = L.putStrLn (L.concat [L.pack ("close " ++ show code ++ " "), reason]) >> exitSuccess
    ended other = putStrLn ("error " ++ oneLine (show other)) >> exitSuccess
