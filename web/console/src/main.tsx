// Where does the console begin?

import '@carillon/ui/style.css'
import './style.css'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app.js'
import { applyScheme } from './scheme.js'
import { begin } from './session.js'

applyScheme()
void begin()
createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
